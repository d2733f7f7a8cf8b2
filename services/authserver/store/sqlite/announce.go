package sqlite

import "demo.example/services/internal/revocation"

// Announce has f called with all that ends from now on: after it is committed,
// and before the write that ended it returns. Whoever revokes something is
// answered when everybody who remembers it has been told. Call it before the
// store is shared.
//
// What had ended before is not announced again: whoever may end it could
// otherwise have all caches told without end.
//
// The store does it, and no use case, because only here is it known what a
// write ended; the suite in storetest goes through the writes that can.
func (db *DB) Announce(f func(revocation.Event)) { db.revoked = f }

// announce tells that something ended, unless ending it failed.
func (db *DB) announce(failed error, kind revocation.Kind, id string) error {
	if failed == nil && db.revoked != nil {
		db.revoked(revocation.Event{Kind: kind, ID: id})
	}
	return failed
}
