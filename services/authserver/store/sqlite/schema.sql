-- Times are milliseconds since 1970. Hashes are SHA-256.

CREATE TABLE IF NOT EXISTS users (
    id     TEXT PRIMARY KEY,
    email  TEXT NOT NULL UNIQUE,
    region TEXT NOT NULL,
    role   TEXT NOT NULL,
    status TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS clients (
    id           TEXT PRIMARY KEY,
    registration TEXT NOT NULL,
    secret_hash  BLOB NOT NULL,
    metadata     TEXT NOT NULL, -- JSON
    created_at   INTEGER NOT NULL
) STRICT;

-- What is kept of a client beside what it says about itself. A client that is
-- not used by then goes at keep_until.
CREATE TABLE IF NOT EXISTS registrations (
    client_id  TEXT PRIMARY KEY REFERENCES clients (id) ON DELETE CASCADE,
    token_hash BLOB NOT NULL,              -- of the registration access token; empty for none
    used       INTEGER NOT NULL DEFAULT 0, -- whether a user ever approved it
    keep_until INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS registrations_expiry ON registrations (used, keep_until);

CREATE TABLE IF NOT EXISTS requests (
    id         TEXT PRIMARY KEY,
    browser    BLOB NOT NULL,
    data       TEXT NOT NULL, -- JSON
    user_id    TEXT NOT NULL DEFAULT '',
    auth_time  INTEGER NOT NULL DEFAULT 0,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS requests_expiry ON requests (expires_at);

-- Authorization requests that wait for their browser (RFC 9126).
CREATE TABLE IF NOT EXISTS pushed_requests (
    hash       BLOB PRIMARY KEY,
    client_id  TEXT NOT NULL,
    data       TEXT NOT NULL, -- JSON
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS pushed_requests_expiry ON pushed_requests (expires_at);

CREATE TABLE IF NOT EXISTS passcodes (
    request_id TEXT PRIMARY KEY REFERENCES requests (id) ON DELETE CASCADE,
    user_id    TEXT NOT NULL,
    email      TEXT NOT NULL,
    mac        BLOB NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    expires_at INTEGER NOT NULL
) STRICT;

-- One row a passcode asked for: what the rate limits count.
CREATE TABLE IF NOT EXISTS passcode_log (
    email   TEXT NOT NULL,
    ip      TEXT NOT NULL,
    sent_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS passcode_log_time ON passcode_log (sent_at);
CREATE INDEX IF NOT EXISTS passcode_log_email ON passcode_log (email, sent_at);
CREATE INDEX IF NOT EXISTS passcode_log_ip ON passcode_log (ip, sent_at);

CREATE TABLE IF NOT EXISTS sessions (
    id         BLOB PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id),
    auth_time  INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS sessions_expiry ON sessions (expires_at);

CREATE TABLE IF NOT EXISTS consents (
    user_id      TEXT NOT NULL REFERENCES users (id),
    client_id    TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    resource     TEXT NOT NULL,
    scope        TEXT NOT NULL,
    given_at     INTEGER NOT NULL,
    PRIMARY KEY (user_id, client_id, redirect_uri, resource, scope)
) STRICT;

-- Many a million: rows are found by number where speed counts, and stand in
-- the order in which they came (docs/decisions/0008-sqlite.md).
CREATE TABLE IF NOT EXISTS grants (
    seq        INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    user_id    TEXT REFERENCES users (id), -- NULL: a client acts for itself
    client_id  TEXT NOT NULL,
    resource   TEXT NOT NULL,
    scope      TEXT NOT NULL,
    nonce      TEXT NOT NULL,
    auth_time  INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS grants_expiry ON grants (expires_at);
CREATE INDEX IF NOT EXISTS grants_user ON grants (user_id, client_id) WHERE user_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS grants_client ON grants (client_id);

CREATE TABLE IF NOT EXISTS codes (
    hash         BLOB PRIMARY KEY,
    grant_id     TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    client_id    TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    challenge    TEXT NOT NULL,
    jkt          TEXT NOT NULL,
    expires_at   INTEGER NOT NULL,
    used         INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS codes_grant ON codes (grant_id);

-- Devices that wait for a user (RFC 8628).
CREATE TABLE IF NOT EXISTS devices (
    id         TEXT PRIMARY KEY,
    hash       BLOB NOT NULL UNIQUE,
    user_code  BLOB NOT NULL UNIQUE, -- keyed
    client_id  TEXT NOT NULL,
    ip         TEXT NOT NULL,
    scope      TEXT NOT NULL,
    resource   TEXT NOT NULL,
    status     TEXT NOT NULL DEFAULT 'pending',
    grant_id   TEXT NOT NULL DEFAULT '',
    interval   INTEGER NOT NULL, -- milliseconds
    polled_at  INTEGER NOT NULL DEFAULT 0,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS devices_client ON devices (client_id, expires_at);
CREATE INDEX IF NOT EXISTS devices_expiry ON devices (expires_at);

CREATE TABLE IF NOT EXISTS tokens (
    hash       BLOB PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    kind       TEXT NOT NULL,
    grant_seq  INTEGER NOT NULL REFERENCES grants (seq) ON DELETE CASCADE,
    scope      TEXT NOT NULL,
    jkt        TEXT NOT NULL,
    issued_at  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used       INTEGER NOT NULL DEFAULT 0,
    revoked    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS tokens_grant ON tokens (grant_seq);
CREATE INDEX IF NOT EXISTS tokens_expiry ON tokens (expires_at) WHERE kind = 'access';

-- What took the place of a refresh token that was used (grants/refresh.go).
CREATE TABLE IF NOT EXISTS rotations (
    hash       BLOB PRIMARY KEY REFERENCES tokens (hash) ON DELETE CASCADE,
    successor  BLOB NOT NULL REFERENCES tokens (hash) ON DELETE CASCADE,
    access     BLOB NOT NULL, -- the access token that came with the successor
    rotated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS rotations_successor ON rotations (successor);

CREATE TABLE IF NOT EXISTS keys (
    id         TEXT PRIMARY KEY,
    private    BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Client assertions that were used (RFC 7523 §3): client and jti, hashed.
CREATE TABLE IF NOT EXISTS assertions (
    hash       BLOB PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS assertions_expiry ON assertions (expires_at);

-- Orders that users decide about, each good for one token exchange.
CREATE TABLE IF NOT EXISTS approvals (
    id         TEXT PRIMARY KEY,
    grant_id   TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    caller     TEXT NOT NULL,
    details    TEXT NOT NULL, -- JSON
    status     TEXT NOT NULL DEFAULT 'pending',
    auth_time  INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    decided_at INTEGER NOT NULL DEFAULT 0,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS approvals_grant ON approvals (grant_id, expires_at);
CREATE INDEX IF NOT EXISTS approvals_expiry ON approvals (expires_at);

-- When a grant was last used, as exactly as the account page shows it.
CREATE TABLE IF NOT EXISTS grant_uses (
    grant_id TEXT PRIMARY KEY REFERENCES grants (id) ON DELETE CASCADE,
    used_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Where a session began, in words that tell the user which one it is.
CREATE TABLE IF NOT EXISTS session_origins (
    session_id BLOB PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    browser    TEXT NOT NULL,
    address    TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS sessions_user ON sessions (user_id);

-- Sessions of the administration.
CREATE TABLE IF NOT EXISTS admin_sessions (
    id         BLOB PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id),
    auth_time  INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS admin_sessions_user ON admin_sessions (user_id);
CREATE INDEX IF NOT EXISTS admin_sessions_expiry ON admin_sessions (expires_at);

-- Clients that are not let in, reviewed ones and those that are not stored too.
CREATE TABLE IF NOT EXISTS suspended_clients (
    client_id TEXT PRIMARY KEY,
    since     INTEGER NOT NULL
) STRICT;
