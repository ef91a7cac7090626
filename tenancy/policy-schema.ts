/** The tables of a shard of the policy store. Revisions and versions only grow; keys are known by their digests. */
export const POLICY_SCHEMA = `
  CREATE TABLE IF NOT EXISTS shard (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS tenants (
    tenant TEXT PRIMARY KEY, revision INTEGER NOT NULL, created_ms INTEGER NOT NULL,
    live INTEGER, shadow INTEGER, previous INTEGER, next_version INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS ended (tenant TEXT PRIMARY KEY) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS keys (
    digest TEXT PRIMARY KEY, tenant TEXT NOT NULL, key_id TEXT NOT NULL, label TEXT NOT NULL,
    created_ms INTEGER NOT NULL, expires_ms INTEGER, revoked_ms INTEGER
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS keys_by_tenant ON keys (tenant, key_id);
  CREATE TABLE IF NOT EXISTS policies (
    tenant TEXT, version INTEGER, created_ms INTEGER NOT NULL, created_by TEXT NOT NULL, note TEXT NOT NULL,
    body TEXT NOT NULL, PRIMARY KEY (tenant, version)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS tallies (tenant TEXT, version INTEGER, body TEXT NOT NULL, PRIMARY KEY (tenant, version)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
    tenant TEXT NOT NULL, detail TEXT NOT NULL
  );
`
