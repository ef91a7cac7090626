import { cloudflareTest } from '@cloudflare/vitest-plugin'
import { defineConfig } from 'vitest/config'

/**
 * One project for each runtime. `edge` runs inside workerd; the others in Node. `product` starts whole processes, so
 * its files run one after another.
 */
export default defineConfig({
  test: {
    projects: [
      // Real engines, only when `npm run test:vllm` names where they are installed.
      ...(process.env['ISOTHERM_VLLM']
        ? [
            {
              test: {
                name: 'vllm',
                include: ['test/vllm/**/*.test.ts'],
                fileParallelism: false,
                testTimeout: 1_500_000,
                hookTimeout: 900_000,
              },
            },
          ]
        : []),
      {
        test: {
          name: 'pure',
          include: ['test/core/**/*.test.ts', 'test/contract/**/*.test.ts', 'test/*.test.ts'],
        },
      },
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: './wrangler.toml' },
            // What production has as secrets.
            miniflare: {
              bindings: {
                ENVELOPE_SECRET: 'envelope-secret-of-tests',
                PREFIX_SECRET: 'prefix-secret-of-tests',
                CLUSTER_TOKENS: JSON.stringify({
                  'us-east-1': 'token-of-us-east-1',
                  'eu-central-1': 'token-of-eu-central-1',
                  'ap-northeast-1': 'token-of-ap-northeast-1',
                }),
                ADMIN_TOKEN: 'admin-token-of-tests',
              },
            },
          }),
        ],
        test: {
          name: 'edge',
          include: ['test/worker/**/*.test.ts', 'test/directory/**/*.test.ts', 'test/tenancy/**/*.test.ts'],
          exclude: ['**/*.node.test.ts'],
        },
      },
      {
        test: {
          name: 'agent',
          include: [
            'test/cluster-agent/**/*.test.ts',
            'test/simulator/**/*.test.ts',
            'test/cli/**/*.test.ts',
            'test/**/*.node.test.ts',
          ],
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'product',
          include: ['test/product/**/*.test.ts'],
          exclude: ['**/*.node.test.ts'],
          fileParallelism: false,
          // After the others: whole products beside every other test would only wait for the processor.
          sequence: { groupOrder: 1 },
          globalSetup: ['test/support/bundle.ts'],
          testTimeout: 120_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
})
