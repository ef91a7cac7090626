/** The Worker's entry: its fetch handler and the Durable Object classes that `wrangler.toml` binds. */
import { apiPathOf, answerApi } from './api.ts'
import { app } from './app.ts'
import type { EdgeBindings } from './env.ts'

export { CacheDirectory } from '../directory/cache-directory.ts'
export { PolicyCopy } from '../tenancy/policy-copy.ts'
export { PolicyStore } from '../tenancy/policy-store.ts'
export { ReceiptLog } from '../tenancy/receipt-log.ts'
export { TenantLedger } from '../tenancy/tenant-ledger.ts'

export default {
  fetch: (request: Request, bindings: EdgeBindings, execution: ExecutionContext) => {
    const path = apiPathOf(request)
    return path === null
      ? app.fetch(request, bindings, execution)
      : answerApi(path, request, bindings, execution)
  },
}
