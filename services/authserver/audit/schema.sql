-- The trail. What a row says is in event alone, as JSON and byte for byte as
-- it was chained; the other columns are derived from it, to search by.
CREATE TABLE IF NOT EXISTS events (
    seq      INTEGER PRIMARY KEY, -- without gaps
    id       TEXT NOT NULL UNIQUE,
    mac      BLOB NOT NULL,       -- of the row before, seq and event
    event    TEXT NOT NULL,
    at       INTEGER NOT NULL GENERATED ALWAYS AS (CAST(unixepoch(event ->> '$.time', 'subsec') * 1000 AS INTEGER)) STORED,
    kind     TEXT NOT NULL GENERATED ALWAYS AS (event ->> '$.kind') STORED,
    decision TEXT NOT NULL GENERATED ALWAYS AS (event ->> '$.decision') STORED,
    user     TEXT GENERATED ALWAYS AS (event ->> '$.user') STORED,
    client   TEXT GENERATED ALWAYS AS (event ->> '$.client') STORED,
    request  TEXT GENERATED ALWAYS AS (event ->> '$.request') STORED,
    flow     TEXT GENERATED ALWAYS AS (event ->> '$.flow') STORED,
    grant_id TEXT GENERATED ALWAYS AS (event ->> '$.grant') STORED
);
CREATE INDEX IF NOT EXISTS events_user ON events (user, seq);
CREATE INDEX IF NOT EXISTS events_called ON events (user, client, kind, seq);
CREATE INDEX IF NOT EXISTS events_client ON events (client, seq);
CREATE INDEX IF NOT EXISTS events_request ON events (request);
CREATE INDEX IF NOT EXISTS events_flow ON events (flow) WHERE flow IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_grant ON events (grant_id, seq);
CREATE INDEX IF NOT EXISTS events_refused ON events (seq) WHERE decision <> 'allowed';

-- Where the trail begins, once what was old has been removed: the last row
-- that was, so that the first one left can be checked against it.
CREATE TABLE IF NOT EXISTS beginning (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    seq  INTEGER NOT NULL,
    mac  BLOB NOT NULL,
    seal BLOB NOT NULL -- keyed, so that nobody else can make the trail begin later
);
