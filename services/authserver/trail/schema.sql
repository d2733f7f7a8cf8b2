-- The trail. What a row says is in event alone, as JSON and byte for byte as
-- it was chained. The columns after it repeat what is searched by, and NULL
-- stands for what does not apply; the check of the trail compares them
-- (rows.go).
CREATE TABLE IF NOT EXISTS events (
    seq      INTEGER PRIMARY KEY, -- without gaps
    mac      BLOB NOT NULL,       -- of the row before, seq and event
    event    TEXT NOT NULL,
    id       TEXT NOT NULL UNIQUE,
    at       INTEGER NOT NULL,    -- milliseconds since 1970
    kind     TEXT NOT NULL,
    decision TEXT NOT NULL,
    user     TEXT,
    client   TEXT,
    request  TEXT,
    flow     TEXT,
    grant_id TEXT
) STRICT;

-- Each index costs every event that it holds, so that none holds more than is
-- searched for. The conditions are those of search.go, to the letter.
CREATE INDEX IF NOT EXISTS events_user ON events (user) WHERE user IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_client ON events (client) WHERE client IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_request ON events (request) WHERE request IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_flow ON events (flow) WHERE flow IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_grant ON events (grant_id) WHERE grant_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_called ON events (user, client, kind) WHERE kind IN ('tool.call', 'api.decision');
CREATE INDEX IF NOT EXISTS events_rare ON events (kind) WHERE kind NOT IN ('token.issued', 'token.exchanged', 'tool.call', 'api.decision');
CREATE INDEX IF NOT EXISTS events_refused ON events (decision) WHERE decision <> 'allowed';

-- Where the trail begins, once what was old has been removed: the last row
-- that was, so that the first one left can be checked against it.
CREATE TABLE IF NOT EXISTS beginning (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    seq  INTEGER NOT NULL,
    mac  BLOB NOT NULL,
    seal BLOB NOT NULL -- keyed, so that nobody else can make the trail begin later
) STRICT;
