import { execFile, execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ROOT } from '../../cli/root.ts'
import { startTestProduct, type TestProduct } from '../support/product.ts'

/** PyPI's clients, unmodified, against the product on bare workerd: `test/clients/README.md`. */
const PYTHON = process.env['ISOTHERM_PYTHON'] ?? 'python3'

function whyNot(): string | null {
  try {
    execFileSync(PYTHON, ['-c', 'import openai, langchain_openai'], { stdio: 'ignore' })
    return null
  } catch {
    return `skipped: ${PYTHON} has no openai and langchain-openai (test/clients/requirements.txt)`
  }
}

const reason = whyNot()
if (reason !== null) process.stderr.write(`python-clients.test.ts: ${reason}\n`)

describe.skipIf(reason !== null)('PyPI', () => {
  let product: TestProduct
  beforeAll(async () => {
    product = await startTestProduct()
  })
  afterAll(() => product?.stop())

  test(
    'openai and langchain-openai: whole, streamed, tools, structure, errors',
    { timeout: 120_000 },
    async () => {
      const script = join(ROOT, 'test/clients/python_clients.py')
      const { baseUrl, apiKey, model } = product
      const { stdout } = await promisify(execFile)(PYTHON, [script, baseUrl, apiKey, model])
      expect(JSON.parse(stdout)).toEqual({
        openai: {
          whole: [8, 'length'],
          streamed: [true, 8],
          endless: 'chat.completion.chunk',
          parsed: { city: expect.any(String), days: expect.any(Number) },
          continued: true,
          models: true,
          embeddings: 2,
          'wrong key': ['AuthenticationError', 'invalid_api_key'],
          'no model': ['NotFoundError', 'model_not_found'],
          'no messages': ['BadRequestError', 'invalid_request'],
        },
        langchain: {
          whole: true,
          streamed: true,
          called: ['weather'],
          structured: { city: expect.any(String), days: expect.any(Number) },
          embeddings: 2,
        },
      })
    },
  )
})
