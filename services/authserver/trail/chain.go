package trail

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"demo.example/services/internal/audit"
)

// Link is a place in the chain.
type Link struct {
	Seq int64
	MAC []byte
}

// String is the form in which a link is logged, and expected.
func (l Link) String() string { return fmt.Sprintf("%d:%s", l.Seq, hex.EncodeToString(l.MAC)) }

func (l Link) equal(other Link) bool { return l.Seq == other.Seq && hmac.Equal(l.MAC, other.MAC) }

// link chains an event to the row before it.
func (t *Trail) link(before Link, event []byte) []byte {
	m := hmac.New(sha256.New, t.cfg.Key)
	m.Write(before.MAC)
	_ = binary.Write(m, binary.BigEndian, before.Seq+1) // a hash takes everything
	m.Write(event)
	return m.Sum(nil)
}

// seal marks a beginning that this server made.
func (t *Trail) seal(l Link) []byte {
	m := hmac.New(sha256.New, t.cfg.Key)
	fmt.Fprintf(m, "beginning %s", l)
	return m.Sum(nil)
}

// querier is the file, or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// newest returns the end of the chain as it is in the file, unchecked.
func newest(ctx context.Context, q querier) (Link, error) {
	var l Link
	err := q.QueryRowContext(ctx, "SELECT seq, mac FROM events ORDER BY seq DESC LIMIT 1").Scan(&l.Seq, &l.MAC)
	if errors.Is(err, sql.ErrNoRows) {
		l, _, err = noted(ctx, q)
	}
	return l, err
}

// noted returns the link before the first event, unchecked.
func noted(ctx context.Context, q querier) (l Link, seal []byte, err error) {
	err = q.QueryRowContext(ctx, "SELECT seq, mac, seal FROM beginning").Scan(&l.Seq, &l.MAC, &seal)
	if errors.Is(err, sql.ErrNoRows) {
		return Link{MAC: make([]byte, sha256.Size)}, nil, nil // nothing was ever removed
	}
	return l, seal, err
}

// beginning returns the link before the first event.
func (t *Trail) beginning(ctx context.Context, q querier) (Link, error) {
	l, seal, err := noted(ctx, q)
	if err == nil && l.Seq > 0 && !hmac.Equal(seal, t.seal(l)) {
		err = alteredError(fmt.Sprintf("the beginning, after event %d, is not one that the server noted: events before it were removed, or the key is another", l.Seq))
	}
	return l, err
}

// alteredError says where the trail is not what was written.
type alteredError string

// Error implements error.
func (e alteredError) Error() string { return string(e) }

// walk follows the chain from a link on, for so many events at most, and
// returns where it ended. When the trail is not what was written, the error is
// an alteredError that names the first place, and the link the last good one.
func (t *Trail) walk(ctx context.Context, q querier, from Link, limit int64, step func(Link)) (Link, error) {
	rows, err := q.QueryContext(ctx, "SELECT seq, mac, event, "+columns+" FROM events WHERE seq > ? ORDER BY seq LIMIT ?", from.Seq, limit)
	if err != nil {
		return from, err
	}
	defer rows.Close()
	for rows.Next() {
		var l Link
		var event string
		repeated := make([]any, len(values(audit.Event{})))
		into := []any{&l.Seq, &l.MAC, &event}
		for i := range repeated {
			into = append(into, &repeated[i])
		}
		if err := rows.Scan(into...); err != nil {
			return from, err
		}
		switch {
		case l.Seq != from.Seq+1:
			return from, alteredError(fmt.Sprintf("events %d to %d are missing", from.Seq+1, l.Seq-1))
		case !hmac.Equal(l.MAC, t.link(from, []byte(event))) || !repeats(repeated, event):
			return from, alteredError(fmt.Sprintf("event %d was altered, or the one before it was replaced", l.Seq))
		}
		from = l
		step(l)
	}
	return from, rows.Err()
}

// end returns the link to go on from. When the file does not end where this
// server left it, that is either another server's doing, which takes the place
// of this one and goes on with the chain, or somebody altered the trail. It is
// said how, and the chain goes on from what it was, so that the gap shows for
// ever.
func (t *Trail) end(ctx context.Context, q querier) (after Link, altered string, err error) {
	file, err := newest(ctx, q)
	if err != nil || file.equal(t.head) {
		return file, "", err
	}
	after, err = t.walk(ctx, q, t.head, file.Seq-t.head.Seq, func(Link) {})
	var broken alteredError
	if err != nil && !errors.As(err, &broken) || err == nil && after.equal(file) {
		return after, "", err
	}
	altered = fmt.Sprintf("the audit trail was altered: it went up to %s, and now ends with %s", t.head, file)
	return Link{max(file.Seq, t.head.Seq), t.head.MAC}, altered, nil
}
