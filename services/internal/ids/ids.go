// Package ids names what is kept in great numbers: grants, tokens, requests and
// events.
package ids

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"time"
)

// New names something that was made now, for good. Names begin with the time,
// so that new ones stand together in the indexes of a store: a million of them
// make adding one no dearer. The rest is 80 random bits. A name is no secret,
// and gives nobody anything.
func New(now time.Time) string {
	b := make([]byte, 8+10)
	binary.BigEndian.PutUint64(b, uint64(now.UnixMilli()))
	rand.Read(b[8:])
	return base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(b[2:]) // sorts as the bytes do
}
