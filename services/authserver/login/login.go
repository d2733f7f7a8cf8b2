// Package login finds out who sits in front of the browser: by a one-time
// passcode that is mailed to the address of an approved user (passcode.go),
// and then by a session cookie (session.go).
//
// Whether an address is known shows nowhere: known and unknown ones take the
// same steps, get the same answers, and differ in nothing but the mail.
package login

import (
	"context"
	"log/slog"
	"net/mail"
	"strings"
	"time"

	"demo.example/services/authserver/store"
)

// loginStore is what signing in needs of the store.
type loginStore interface {
	UserByEmail(ctx context.Context, email string) (store.User, error)
	User(ctx context.Context, id string) (store.User, error)
	AddUser(ctx context.Context, u store.User) error
	SetAdmins(ctx context.Context, emails []string) error
	SetUserStatus(ctx context.Context, id, status string) error

	SetPasscode(ctx context.Context, p store.Passcode) error
	Passcode(ctx context.Context, requestID string) (store.Passcode, error)
	TryPasscode(ctx context.Context, requestID string, limit int, now time.Time) (store.Passcode, error)
	TakePasscode(ctx context.Context, requestID string, mac store.Hash) error
	LogPasscode(ctx context.Context, email, ip string, now, since time.Time, within func(byEmail, byIP, all int) bool) (bool, error)

	SignIn(ctx context.Context, requestID, userID string, authTime time.Time) error
	AddSession(ctx context.Context, s store.Session) error
	Session(ctx context.Context, id store.Hash) (store.Session, store.User, error)
	TouchSession(ctx context.Context, id store.Hash, now time.Time) error
	EndSession(ctx context.Context, id store.Hash) error
	DeleteSession(ctx context.Context, id store.Hash) error
	NameSession(ctx context.Context, id store.Hash, browser, address string) error
	Sessions(ctx context.Context, userID string, now time.Time, limit int) ([]store.NamedSession, error)
	DeleteOtherSessions(ctx context.Context, userID string, keep store.Hash) error

	UsersByID(ctx context.Context, ids []string) ([]store.User, error)
	Users(ctx context.Context, after string, now time.Time, limit int) ([]store.UserOverview, error)
	SuspendUser(ctx context.Context, id string) error
	SetUserRegion(ctx context.Context, id, region string) error
	PasscodesSince(ctx context.Context, since time.Time) (all, addresses, ips int, err error)
	AddAdminSession(ctx context.Context, s store.Session) error
	AdminSession(ctx context.Context, id store.Hash) (store.Session, store.User, error)
	AdminSessions(ctx context.Context, userID string, now time.Time, limit int) ([]store.Session, error)
	TouchAdminSession(ctx context.Context, id store.Hash, now time.Time) error
	DeleteAdminSession(ctx context.Context, id store.Hash) error
}

// Mailer delivers messages.
type Mailer interface {
	// Ready reports whether the mail server takes mail right now.
	Ready(ctx context.Context) error
	// Queue delivers in the background, so that the time an answer takes does
	// not tell whether a mail was sent.
	Queue(m Message)
}

// Service signs users in.
type Service struct {
	Store  loginStore
	Mailer Mailer
	Key    []byte // keys the stored passcodes; not in the store
	Limits Limits
	Log    *slog.Logger
	Now    func() time.Time
}

// Limits bound how many passcodes may be asked for in an hour. With 5 tries
// each at one of 10^8 codes, 60 an hour for an address leave a guesser a chance
// of 7 in 100,000 a day.
type Limits struct {
	PerAddress, PerIP, Total int
}

// isAddress reports whether a canonical address can be mailed to, and is
// nothing but an address (RFC 5321 §4.5.3.1.3 on its length).
func isAddress(email string) bool {
	a, err := mail.ParseAddress(email)
	return err == nil && a.Address == email && len(email) <= 254
}

// Canonical returns the form in which addresses are compared.
func Canonical(email string) string { return strings.ToLower(strings.TrimSpace(email)) }
