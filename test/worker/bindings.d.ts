/** The bindings of `wrangler.toml` and vitest.config.ts, as the tests in workerd see them. */
/// <reference types="@cloudflare/vitest-plugin/types" />

declare namespace Cloudflare {
  interface Env {
    DIRECTORY: DurableObjectNamespace
    TENANT_LEDGER: DurableObjectNamespace
    RECEIPT_LOG: DurableObjectNamespace
    POLICY_STORE: DurableObjectNamespace
    POLICY_COPY: DurableObjectNamespace
    ISOTHERM_CONFIG: string
    ENVELOPE_SECRET: string
    PREFIX_SECRET: string
    CLUSTER_TOKENS: string
    ADMIN_TOKEN: string
  }
}
