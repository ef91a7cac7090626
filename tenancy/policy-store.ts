/**
 * The Durable Object that owns a shard of the tenants: their policies and the digests of their keys. It is asked by its
 * copies in the regions, a few times a second whatever the traffic, and changed by operators.
 */
import { DurableObject } from 'cloudflare:workers'
import type {
  AuditEntry,
  Change,
  Edit,
  KeyAnswer,
  KeyQuestion,
  KeyView,
  NewKey,
  PolicyStoreRpc,
  PolicyVersion,
  PolicyView,
  Resolution,
  ShadowTally,
  TenantView,
} from '../protocol/policy-store.ts'
import { KEYS_MAX, QUESTIONS_MAX } from '../protocol/policy-store.ts'
import type { Policy } from '../protocol/policy.ts'
import { addShadowTally } from '../core/shadow-tally.ts'
import { PolicyTables, type TenantRow } from './policy-tables.ts'

/** Tenants of a shard. 32 shards hold ten times the 10,000 that are planned for. */
const TENANTS_MAX = 4096
const PAGE_MAX = 500

export class PolicyStore extends DurableObject<object> implements PolicyStoreRpc {
  /** Replaced by tests. */
  nowMs: () => number = () => Date.now()
  readonly #tables: PolicyTables

  constructor(state: DurableObjectState, env: object) {
    super(state, env)
    this.#tables = new PolicyTables(state.storage.sql)
  }

  async resolve(questions: readonly KeyQuestion[]): Promise<Resolution> {
    const answers = questions.slice(0, QUESTIONS_MAX).map((question) => this.#answer(question))
    return { revision: this.#tables.revision, answers }
  }

  async createTenant(edit: Edit, policy: Policy, note: string): Promise<Change<TenantView>> {
    if (this.#tables.tenant(edit.tenant)) return refuse('conflict', 'There is such a tenant.')
    if (this.#tables.hasEnded(edit.tenant)) {
      return refuse('conflict', 'There was such a tenant: its usage and receipts are not another’s.')
    }
    if (this.#tables.tenantCount() >= TENANTS_MAX) return refuse('conflict', 'This shard of tenants is full.')
    this.#tables.insertTenant(edit.tenant, this.nowMs())
    const version = this.#tables.insertPolicy(edit.tenant, policy, edit.actor, note, this.nowMs())
    this.#tables.setVersions(edit.tenant, { live: version, shadow: null, previous: null })
    return this.#changed(edit, 'tenant.create', `version ${version}`)
  }

  async deleteTenant(edit: Edit): Promise<Change<null>> {
    const found = this.#find(edit)
    if (!found.ok) return found
    this.#tables.deleteTenant(edit.tenant)
    const revision = this.#tables.touch(edit.tenant, edit.actor, 'tenant.delete', '', this.nowMs())
    return { ok: true, value: null, revision }
  }

  async tenant(tenant: string): Promise<TenantView | null> {
    return this.#tables.tenant(tenant)
  }

  async tenants(after: string, limit: number): Promise<TenantView[]> {
    return this.#tables.tenants(after, Math.min(limit, PAGE_MAX))
  }

  async addKey(edit: Edit, key: NewKey): Promise<Change<KeyView>> {
    const found = this.#find(edit)
    if (!found.ok) return found
    const nowMs = this.nowMs()
    this.#tables.deleteDeadKeys(edit.tenant, nowMs)
    if (this.#tables.keys(edit.tenant).length >= KEYS_MAX)
      return refuse('conflict', `A tenant has at most ${KEYS_MAX} keys.`)
    this.#tables.insertKey(edit.tenant, key, nowMs)
    return this.#keyChanged(edit, 'key.create', key.keyId)
  }

  async rotateKey(edit: Edit, keyId: string, next: NewKey, overlapMs: number): Promise<Change<KeyView>> {
    const old = this.#tables.key(edit.tenant, keyId)
    if (!old || old.revokedMs !== null) return refuse('not_found', 'There is no such key, or it is revoked.')
    const added = await this.addKey(edit, next)
    if (!added.ok) return added
    const untilMs = Math.min(old.expiresMs ?? Infinity, this.nowMs() + overlapMs)
    this.#tables.expireKey(edit.tenant, keyId, untilMs)
    return this.#keyChanged(
      { ...edit, ifRevision: null },
      'key.rotate',
      next.keyId,
      `${keyId} -> ${next.keyId}`,
    )
  }

  async revokeKey(edit: Edit, keyId: string): Promise<Change<KeyView>> {
    const found = this.#find(edit)
    if (!found.ok) return found
    if (!this.#tables.key(edit.tenant, keyId)) return refuse('not_found', 'There is no such key.')
    this.#tables.revokeKey(edit.tenant, keyId, this.nowMs())
    return this.#keyChanged(edit, 'key.revoke', keyId)
  }

  async keys(tenant: string): Promise<KeyView[]> {
    return this.#tables.keys(tenant)
  }

  async addPolicy(edit: Edit, policy: Policy, note: string): Promise<Change<PolicyView>> {
    const found = this.#find(edit)
    if (!found.ok) return found
    const version = this.#tables.insertPolicy(edit.tenant, policy, edit.actor, note, this.nowMs())
    this.#tables.prunePolicies(edit.tenant)
    const changed = this.#changed(edit, 'policy.create', `version ${version}`)
    const view = this.#tables.policies(edit.tenant).find((listed) => listed.version === version)
    return changed.ok && view ? { ...changed, value: view } : refuse('internal', 'The policy was not kept.')
  }

  async deletePolicy(edit: Edit, version: number): Promise<Change<TenantView>> {
    const found = this.#find(edit, version)
    if (!found.ok) return found
    const { liveVersion, shadowVersion, previousVersion } = found.value
    const unless = (kept: number | null) => (kept === version ? null : kept)
    this.#tables.deletePolicy(edit.tenant, version)
    this.#tables.setVersions(edit.tenant, {
      live: unless(liveVersion),
      shadow: unless(shadowVersion),
      previous: unless(previousVersion),
    })
    return this.#changed(edit, 'policy.delete', `version ${version}`)
  }

  async policies(tenant: string): Promise<PolicyView[]> {
    return this.#tables.policies(tenant)
  }

  async policy(tenant: string, version: number): Promise<PolicyVersion | null> {
    return this.#tables.policy(tenant, version)
  }

  async activate(edit: Edit, version: number): Promise<Change<TenantView>> {
    const found = this.#find(edit, version)
    return found.ok ? this.#makeLive(edit, found.value, version, 'policy.activate') : found
  }

  async rollBack(edit: Edit): Promise<Change<TenantView>> {
    const found = this.#find(edit)
    if (!found.ok) return found
    const { previousVersion } = found.value
    if (previousVersion === null) return refuse('conflict', 'There is no previous version to go back to.')
    return this.#makeLive(edit, found.value, previousVersion, 'policy.roll-back')
  }

  async shadow(edit: Edit, version: number | null): Promise<Change<TenantView>> {
    const found = this.#find(edit, version)
    if (!found.ok) return found
    const { liveVersion, previousVersion } = found.value
    this.#tables.setVersions(edit.tenant, { live: liveVersion, shadow: version, previous: previousVersion })
    return this.#changed(edit, 'policy.shadow', version === null ? 'none' : `version ${version}`)
  }

  async noteShadow(tenant: string, version: number, tally: ShadowTally): Promise<void> {
    // Of another shadow than the one that runs, or of a tenant that is gone: nobody will ask.
    if (this.#tables.tenant(tenant)?.shadowVersion !== version) return
    this.#tables.putTally(tenant, version, addShadowTally(this.#tables.tally(tenant, version), tally))
  }

  async shadowTally(tenant: string, version: number): Promise<ShadowTally | null> {
    return this.#tables.tally(tenant, version)
  }

  async audit(tenant: string | null, before: number | null, limit: number): Promise<AuditEntry[]> {
    return this.#tables.audit(tenant, before ?? Number.MAX_SAFE_INTEGER, Math.min(limit, PAGE_MAX))
  }

  #answer({ digest, revision }: KeyQuestion): KeyAnswer {
    const found = this.#tables.findKey(digest)
    if (!found || found.revokedMs !== null) return { kind: 'unknown' }
    const tenant = this.#tables.tenant(found.tenant)
    if (!tenant) return { kind: 'unknown' }
    if (tenant.revision === revision) return { kind: 'same' }
    const versionOf = (version: number | null) =>
      version === null ? null : this.#tables.policy(found.tenant, version)
    return {
      kind: 'tenant',
      tenant: found.tenant,
      revision: tenant.revision,
      keyId: found.keyId,
      expiresMs: found.expiresMs,
      live: versionOf(tenant.liveVersion),
      shadow: versionOf(tenant.shadowVersion),
    }
  }

  /** The tenant, if it is as the editor last saw it and has the version. */
  #find({ tenant, ifRevision }: Edit, version: number | null = null): Change<TenantRow> {
    const row = this.#tables.tenant(tenant)
    if (!row) return refuse('not_found', 'There is no such tenant.')
    if (ifRevision !== null && ifRevision !== row.revision) {
      return refuse(
        'precondition_failed',
        `The tenant has changed meanwhile: its revision is ${row.revision}.`,
      )
    }
    if (version !== null && !this.#tables.policy(tenant, version)) {
      return refuse('not_found', 'There is no such version of the policy.')
    }
    return { ok: true, value: row, revision: row.revision }
  }

  #makeLive(edit: Edit, row: TenantRow, version: number, action: string): Change<TenantView> {
    const { liveVersion, shadowVersion, previousVersion } = row
    this.#tables.setVersions(edit.tenant, {
      live: version,
      shadow: shadowVersion === version ? null : shadowVersion,
      previous: liveVersion === version ? previousVersion : liveVersion,
    })
    return this.#changed(edit, action, `version ${version}`)
  }

  #changed(edit: Edit, action: string, detail: string): Change<TenantView> {
    const revision = this.#tables.touch(edit.tenant, edit.actor, action, detail, this.nowMs())
    const value = this.#tables.tenant(edit.tenant)
    return value ? { ok: true, value, revision } : refuse('not_found', 'There is no such tenant.')
  }

  #keyChanged(edit: Edit, action: string, keyId: string, detail: string = keyId): Change<KeyView> {
    const changed = this.#changed(edit, action, detail)
    const key = this.#tables.key(edit.tenant, keyId)
    return changed.ok && key ? { ...changed, value: key } : refuse('not_found', 'There is no such key.')
  }
}

function refuse(
  code: Extract<Change<never>, { ok: false }>['code'],
  message: string,
): Extract<Change<never>, { ok: false }> {
  return { ok: false, code, message }
}
