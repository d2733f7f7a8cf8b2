package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/revocation"
)

// Rotate trades a refresh token for the pair that issue returns, in one step
// with deciding whether it may be traded; grants/refresh.go says why it is
// decided like this. An error of issue is returned and leaves everything as it
// was.
//
// ErrReused says that the token was used before and that its grant has been
// revoked for that; ErrNotFound, that the token or its grant is gone.
func (db *DB) Rotate(ctx context.Context, hash store.Hash, now time.Time, grace time.Duration,
	issue func() (access, refresh store.Token, err error),
) error {
	var reused bool
	var grant, superseded string
	err := db.write.Transact(ctx, func(tx tx) error {
		reused, superseded = false, ""
		var used bool
		err := tx.QueryRowContext(ctx, `SELECT used, grants.id FROM tokens JOIN grants ON grants.seq = grant_seq
			WHERE hash = ? AND kind = 'refresh' AND tokens.revoked = 0 AND grants.revoked = 0`, hash[:]).Scan(&used, &grant)
		if err != nil {
			return translate(err)
		}
		end, at := hash, millis(now) // the end of the chain, which nobody has used so far
		if used {
			end, at, err = unusedSuccessor(ctx, tx, hash, now.Add(-grace))
			if errors.Is(err, store.ErrReused) {
				if _, err := tx.ExecContext(ctx, "UPDATE grants SET revoked = 1 WHERE id = ?", grant); err != nil {
					return err
				}
				reused = true
				return nil
			}
			if err != nil {
				return err
			}
		}
		access, refresh, err := issue()
		if err != nil {
			return err
		}
		if used {
			var bound string
			if err := tx.QueryRowContext(ctx, "SELECT jkt FROM tokens WHERE hash = ?", end[:]).Scan(&bound); err != nil {
				return err
			}
			if bound != "" && bound != refresh.JKT {
				return store.ErrNotFound // the successor is bound to a key that was not proved
			}
		}
		if err := insertTokens(ctx, tx, access, refresh); err != nil {
			return err
		}
		if used {
			if superseded, err = supersede(ctx, tx, end, access, refresh); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, "UPDATE tokens SET used = 1 WHERE hash = ?", end[:]); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO rotations (hash, successor, access, rotated_at) VALUES (?, ?, ?, ?)",
			end[:], refresh.Hash[:], access.Hash[:], at)
		return err
	})
	switch {
	case err == nil && reused:
		return errors.Join(db.announce(nil, revocation.Grant, grant), store.ErrReused)
	case superseded != "":
		return db.announce(err, revocation.Token, superseded)
	}
	return err
}

// unusedSuccessor returns what took the place of a token that was used, and
// when. ErrReused says that this was before since, or that the successor was
// used as well.
func unusedSuccessor(ctx context.Context, tx tx, hash store.Hash, since time.Time) (successor store.Hash, at int64, err error) {
	var raw []byte
	err = tx.QueryRowContext(ctx, `SELECT successor, rotated_at FROM rotations JOIN tokens ON tokens.hash = successor
		WHERE rotations.hash = ? AND rotated_at > ? AND used = 0`, hash[:], millis(since)).Scan(&raw, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return successor, 0, store.ErrReused
	}
	copy(successor[:], raw)
	return successor, at, err
}

// supersede puts a new pair in the place of an unused one: the access token
// ends, whose id is returned unless it was gone, and whoever was to be followed
// by the old refresh token is followed by the new one.
func supersede(ctx context.Context, tx tx, old store.Hash, access, refresh store.Token) (ended string, err error) {
	err = tx.QueryRowContext(ctx, "UPDATE tokens SET revoked = 1 WHERE hash IN (SELECT access FROM rotations WHERE successor = ?) RETURNING id", old[:]).Scan(&ended)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", err
	}
	_, err = tx.ExecContext(ctx, "UPDATE rotations SET successor = ?, access = ? WHERE successor = ?", refresh.Hash[:], access.Hash[:], old[:])
	return ended, err
}
