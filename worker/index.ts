/** The Worker's entry: its fetch handler and the Durable Object classes that `wrangler.toml` binds. */
import { app } from './app.ts'

export { CacheDirectory } from '../directory/cache-directory.ts'
export { PolicyCopy } from '../tenancy/policy-copy.ts'
export { PolicyStore } from '../tenancy/policy-store.ts'
export { ReceiptLog } from '../tenancy/receipt-log.ts'
export { TenantLedger } from '../tenancy/tenant-ledger.ts'

export default { fetch: app.fetch }
