package stocksapi

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"
)

// cursor is where the next page of a list of stocks begins. It is opaque to
// clients, and not a secret: nothing is taken from it that the caller could
// not have asked for.
type cursor struct {
	Sort   string `json:"s"`
	Minute int64  `json:"t"` // at whose prices the first page was made, since 1970: sorted by others, a stock could come twice or never
	After  string `json:"k"` // the last symbol of the page before
}

// cursorLife is how long a list may be paged through.
const cursorLife = time.Hour

var errCursor = errors.New("not a cursor")

func (c cursor) String() string {
	b, _ := json.Marshal(c) // strings and a number always encode
	return base64.RawURLEncoding.EncodeToString(b)
}

// parseCursor reads what String wrote, in that spelling alone.
func parseCursor(s string) (cursor, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return cursor{}, errCursor
	}
	var c cursor
	if err := json.Unmarshal(b, &c); err != nil || c.String() != s {
		return cursor{}, errCursor
	}
	return c, nil
}

// time returns when the list was made, for a caller who may know prices up to
// latest. A cursor of the future would show live prices to whoever may only
// see old ones.
func (c cursor) time(latest time.Time) (time.Time, error) {
	age := latest.Unix()/60 - c.Minute
	if age < 0 || age > int64(cursorLife/time.Minute) {
		return time.Time{}, errCursor
	}
	return time.Unix(c.Minute*60, 0), nil
}
