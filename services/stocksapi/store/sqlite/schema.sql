CREATE TABLE IF NOT EXISTS orders (
  seq            INTEGER PRIMARY KEY, -- in the order of their coming
  id             TEXT NOT NULL UNIQUE,
  once           TEXT UNIQUE,         -- NULL for an order that may be repeated
  user_id        TEXT NOT NULL,
  client_id      TEXT NOT NULL,
  grant_id       TEXT NOT NULL,
  approval       TEXT NOT NULL,
  symbol         TEXT NOT NULL,
  side           TEXT NOT NULL,
  quantity       INTEGER NOT NULL,
  limit_price    TEXT NOT NULL,
  executed_price TEXT NOT NULL,
  currency       TEXT NOT NULL,
  created_at     INTEGER NOT NULL     -- milliseconds since 1970
) STRICT;

CREATE INDEX IF NOT EXISTS orders_of_user ON orders (user_id, seq);
