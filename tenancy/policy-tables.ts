/** The tables of a shard of the policy store. Every change of a tenant gives it a new revision and is written down. */
import {
  VERSIONS_MAX,
  type AuditEntry,
  type KeyView,
  type NewKey,
  type PolicyVersion,
  type PolicyView,
  type ShadowTally,
  type TenantView,
} from '../protocol/policy-store.ts'
import type { Policy } from '../protocol/policy.ts'
import { POLICY_SCHEMA } from './policy-schema.ts'

/** Entries of the audit log that a shard keeps. */
const AUDIT_MAX = 10_000
/** How long keys that no longer work are shown. */
const DEAD_KEY_MS = 30 * 86_400_000

const TENANT = `SELECT tenant, revision, created_ms AS createdMs, live AS liveVersion, shadow AS shadowVersion,
  previous AS previousVersion FROM tenants`
const KEY = `SELECT key_id AS keyId, label, created_ms AS createdMs, expires_ms AS expiresMs, revoked_ms AS revokedMs,
  tenant FROM keys`

export type TenantRow = TenantView
type KeyRow = KeyView & { readonly tenant: string }

export class PolicyTables {
  readonly #sql: SqlStorage

  constructor(sql: SqlStorage) {
    this.#sql = sql
    sql.exec(POLICY_SCHEMA)
  }

  get revision(): number {
    return first(this.#all<{ revision: number }>('SELECT revision FROM shard'))?.revision ?? 0
  }

  /** Gives the tenant, if it is there, the shard's next revision, and writes down who did what. */
  touch(tenant: string, actor: string, action: string, detail: string, nowMs: number): number {
    const revision = this.revision + 1
    this.#run('INSERT OR REPLACE INTO shard (id, revision) VALUES (1, ?)', revision)
    this.#run('UPDATE tenants SET revision = ? WHERE tenant = ?', revision, tenant)
    this.#run(
      'INSERT INTO audit (at_ms, actor, action, tenant, detail) VALUES (?, ?, ?, ?, ?)',
      nowMs,
      actor,
      action,
      tenant,
      detail,
    )
    this.#run('DELETE FROM audit WHERE id <= (SELECT MAX(id) FROM audit) - ?', AUDIT_MAX)
    return revision
  }

  tenantCount(): number {
    return first(this.#all<{ count: number }>('SELECT COUNT(*) AS count FROM tenants'))?.count ?? 0
  }

  tenant(tenant: string): TenantRow | null {
    return first(this.#all<TenantRow>(`${TENANT} WHERE tenant = ?`, tenant))
  }

  tenants(after: string, limit: number): TenantRow[] {
    return this.#all<TenantRow>(`${TENANT} WHERE tenant > ? ORDER BY tenant LIMIT ?`, after, limit)
  }

  insertTenant(tenant: string, nowMs: number): void {
    this.#run(
      'INSERT INTO tenants (tenant, revision, created_ms, next_version) VALUES (?, 0, ?, 1)',
      tenant,
      nowMs,
    )
  }

  /** Whether a tenant of that name has been: its ledger and receipts are not another's. */
  hasEnded(tenant: string): boolean {
    return this.#all('SELECT 1 FROM ended WHERE tenant = ?', tenant).length > 0
  }

  deleteTenant(tenant: string): void {
    this.#run('INSERT OR IGNORE INTO ended (tenant) VALUES (?)', tenant)
    for (const table of ['tenants', 'keys', 'policies', 'tallies']) {
      this.#run(`DELETE FROM ${table} WHERE tenant = ?`, tenant)
    }
  }

  setVersions(
    tenant: string,
    { live, shadow, previous }: Readonly<Record<'live' | 'shadow' | 'previous', number | null>>,
  ): void {
    const update = 'UPDATE tenants SET live = ?, shadow = ?, previous = ? WHERE tenant = ?'
    this.#run(update, live, shadow, previous, tenant)
  }

  findKey(digest: string): KeyRow | null {
    return first(this.#all<KeyRow>(`${KEY} WHERE digest = ?`, digest))
  }

  key(tenant: string, keyId: string): KeyView | null {
    return this.keys(tenant).find((view) => view.keyId === keyId) ?? null
  }

  keys(tenant: string): KeyView[] {
    return this.#all<KeyRow>(`${KEY} WHERE tenant = ? ORDER BY created_ms, key_id`, tenant).map(viewOf)
  }

  insertKey(tenant: string, { digest, keyId, label, expiresMs }: NewKey, nowMs: number): void {
    this.#run(
      'INSERT INTO keys (digest, tenant, key_id, label, created_ms, expires_ms) VALUES (?, ?, ?, ?, ?, ?)',
      digest,
      tenant,
      keyId,
      label,
      nowMs,
      expiresMs,
    )
  }

  expireKey(tenant: string, keyId: string, expiresMs: number): void {
    this.#run('UPDATE keys SET expires_ms = ? WHERE tenant = ? AND key_id = ?', expiresMs, tenant, keyId)
  }

  revokeKey(tenant: string, keyId: string, nowMs: number): void {
    this.#run(
      'UPDATE keys SET revoked_ms = ? WHERE tenant = ? AND key_id = ? AND revoked_ms IS NULL',
      nowMs,
      tenant,
      keyId,
    )
  }

  deleteDeadKeys(tenant: string, nowMs: number): void {
    this.#run(
      'DELETE FROM keys WHERE tenant = ? AND MIN(IFNULL(expires_ms, ?), IFNULL(revoked_ms, ?)) < ?',
      tenant,
      nowMs,
      nowMs,
      nowMs - DEAD_KEY_MS,
    )
  }

  /** Gives the version: numbers of deleted versions are not used again. */
  insertPolicy(tenant: string, policy: Policy, actor: string, note: string, nowMs: number): number {
    const version =
      first(
        this.#all<{ version: number }>(
          'SELECT next_version AS version FROM tenants WHERE tenant = ?',
          tenant,
        ),
      )?.version ?? 1
    this.#run('UPDATE tenants SET next_version = ? WHERE tenant = ?', version + 1, tenant)
    this.#run(
      'INSERT INTO policies (tenant, version, created_ms, created_by, note, body) VALUES (?, ?, ?, ?, ?, ?)',
      tenant,
      version,
      nowMs,
      actor,
      note,
      JSON.stringify(policy),
    )
    return version
  }

  /** Keeps the newest versions and those in use. */
  prunePolicies(tenant: string): void {
    this.#run(
      `DELETE FROM policies WHERE tenant = ?1
        AND version NOT IN (SELECT version FROM policies WHERE tenant = ?1 ORDER BY version DESC LIMIT ?2)
        AND version NOT IN (SELECT IFNULL(live, 0) FROM tenants WHERE tenant = ?1
          UNION SELECT IFNULL(shadow, 0) FROM tenants WHERE tenant = ?1
          UNION SELECT IFNULL(previous, 0) FROM tenants WHERE tenant = ?1)`,
      tenant,
      VERSIONS_MAX,
    )
  }

  deletePolicy(tenant: string, version: number): void {
    this.#run('DELETE FROM policies WHERE tenant = ? AND version = ?', tenant, version)
    this.#run('DELETE FROM tallies WHERE tenant = ? AND version = ?', tenant, version)
  }

  policies(tenant: string): PolicyView[] {
    return this.#all<PolicyView>(
      `SELECT version, created_ms AS createdMs, created_by AS createdBy, note FROM policies
      WHERE tenant = ? ORDER BY version DESC`,
      tenant,
    )
  }

  policy(tenant: string, version: number): PolicyVersion | null {
    const row = first(
      this.#all<{ body: string }>(
        'SELECT body FROM policies WHERE tenant = ? AND version = ?',
        tenant,
        version,
      ),
    )
    return row && { version, policy: JSON.parse(row.body) as Policy }
  }

  tally(tenant: string, version: number): ShadowTally | null {
    const row = first(
      this.#all<{ body: string }>(
        'SELECT body FROM tallies WHERE tenant = ? AND version = ?',
        tenant,
        version,
      ),
    )
    return row && (JSON.parse(row.body) as ShadowTally)
  }

  putTally(tenant: string, version: number, tally: ShadowTally): void {
    const body = JSON.stringify(tally)
    this.#run(
      'INSERT OR REPLACE INTO tallies (tenant, version, body) VALUES (?, ?, ?)',
      tenant,
      version,
      body,
    )
  }

  audit(tenant: string | null, before: number, limit: number): AuditEntry[] {
    return this.#all<AuditEntry>(
      `SELECT id, at_ms AS atMs, actor, action, tenant, detail FROM audit
      WHERE id < ? AND (? IS NULL OR tenant = ?) ORDER BY id DESC LIMIT ?`,
      before,
      tenant,
      tenant,
      limit,
    )
  }

  #run(query: string, ...bindings: (string | number | null)[]): void {
    this.#sql.exec(query, ...bindings)
  }

  #all<T>(query: string, ...bindings: (string | number | null)[]): T[] {
    return [...this.#sql.exec(query, ...bindings)] as unknown as T[]
  }
}

function first<T>(rows: readonly T[]): T | null {
  return rows[0] ?? null
}

function viewOf({ keyId, label, createdMs, expiresMs, revokedMs }: KeyRow): KeyView {
  return { keyId, label, createdMs, expiresMs, revokedMs }
}
