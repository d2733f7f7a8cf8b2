package login

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"demo.example/services/authserver/limits"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
)

// A passcode has 8 digits (26 bits), works for 5 minutes, and dies with the
// fifth wrong try.
const (
	passcodeDigits   = 8
	passcodeLifetime = 5 * time.Minute
	passcodeTries    = 5
)

// Errors that the pages tell apart.
var (
	ErrBadAddress  = errors.New("not an email address")
	ErrTooMany     = errors.New("too many passcodes asked for from this network")
	ErrMailDown    = errors.New("mail server is out of reach")
	ErrWrong       = errors.New("wrong passcode")
	ErrNoPasscode  = errors.New("no passcode, or it expired, or it was tried too often")
	ErrNotApproved = errors.New("user is not approved")
)

// Passcode says, for a page, what was sent for a request.
type Passcode struct {
	Email     string
	SentAt    time.Time
	ExpiresAt time.Time
	TriesLeft int
}

// Send mails a passcode for a request to an address, if that is the address
// of an approved user and the limits allow. It is silent about both. A
// passcode that was sent before stops working.
//
// Errors: ErrBadAddress, ErrTooMany, ErrMailDown, or an outage.
func (s *Service) Send(ctx context.Context, requestID, email, ip string, about Message) error {
	email = Canonical(email)
	if !isAddress(email) {
		return ErrBadAddress
	}
	// Asked for every address alike: an outage must not tell who is known.
	if err := s.Mailer.Ready(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrMailDown, err)
	}
	now := s.Now()
	tooManyHere := false
	allowed, err := s.Store.LogPasscode(ctx, email, limits.Network(ip), now, now.Add(-time.Hour), func(byEmail, byIP, all int) bool {
		tooManyHere = byIP >= s.Limits.PerIP || all >= s.Limits.Total
		return !tooManyHere && byEmail < s.Limits.PerAddress
	})
	if err != nil {
		return fmt.Errorf("passcode limits: %w", err)
	}
	if tooManyHere {
		return ErrTooMany
	}
	user, err := s.Store.UserByEmail(ctx, email)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("find user: %w", err)
	}
	approved := err == nil && user.Status == store.UserApproved && allowed
	event := audit.On(ctx)
	if event.User = user.ID; !approved { // the answer does not show it
		event.Decision, event.Reason = audit.Refused, "no approved user by that address, or too many passcodes"
	}
	code := newPasscode()
	p := store.Passcode{RequestID: requestID, Email: email, MAC: s.mac(requestID, code), ExpiresAt: now.Add(passcodeLifetime)}
	if approved {
		p.UserID = user.ID
	}
	if err := s.Store.SetPasscode(ctx, p); err != nil {
		return fmt.Errorf("store passcode: %w", err)
	}
	if !approved {
		s.Log.InfoContext(ctx, "passcode asked for and not sent", "known", err == nil, "status", user.Status, "within_limits", allowed)
		return nil
	}
	about.To, about.Passcode, about.Lifetime = email, code, passcodeLifetime
	s.Mailer.Queue(about)
	return nil
}

// Sent returns what was sent for a request, or ErrNoPasscode.
func (s *Service) Sent(ctx context.Context, requestID string) (Passcode, error) {
	p, err := s.Store.Passcode(ctx, requestID)
	if errors.Is(err, store.ErrNotFound) {
		return Passcode{}, ErrNoPasscode
	}
	if err != nil {
		return Passcode{}, fmt.Errorf("find passcode: %w", err)
	}
	left := passcodeTries - p.Attempts
	if !s.Now().Before(p.ExpiresAt) {
		left = 0
	}
	return Passcode{Email: p.Email, SentAt: p.ExpiresAt.Add(-passcodeLifetime), ExpiresAt: p.ExpiresAt, TriesLeft: left}, nil
}

// Check compares what the user typed with the passcode of the request. The
// right one works once. It signs the user in for the request and returns the
// cookie of a new session.
//
// Errors: ErrWrong, ErrNoPasscode, ErrNotApproved, or an outage.
func (s *Service) Check(ctx context.Context, requestID, typed string) (cookie string, err error) {
	now := s.Now()
	p, err := s.Store.TryPasscode(ctx, requestID, passcodeTries, now)
	if errors.Is(err, store.ErrNotFound) {
		return "", ErrNoPasscode
	}
	if err != nil {
		return "", fmt.Errorf("try passcode: %w", err)
	}
	audit.On(ctx).User = p.UserID
	mac := s.mac(requestID, onlyDigits(typed))
	if subtle.ConstantTimeCompare(mac[:], p.MAC[:]) != 1 || p.UserID == "" {
		return "", ErrWrong
	}
	err = s.Store.TakePasscode(ctx, requestID, p.MAC)
	if errors.Is(err, store.ErrNotFound) {
		return "", ErrNoPasscode // somebody else was faster with it
	}
	if err != nil {
		return "", fmt.Errorf("take passcode: %w", err)
	}
	user, err := s.Store.User(ctx, p.UserID)
	if err != nil {
		return "", fmt.Errorf("find user: %w", err)
	}
	if user.Status != store.UserApproved {
		return "", ErrNotApproved
	}
	if err := s.Store.SignIn(ctx, requestID, user.ID, now); err != nil {
		return "", fmt.Errorf("sign in: %w", err)
	}
	return s.newSession(ctx, user, now)
}

// mac binds a passcode to its request, so that it is worth nothing in
// another. The key keeps eight digits from being tried out on a stolen
// database.
func (s *Service) mac(requestID, code string) (out store.Hash) {
	h := hmac.New(sha256.New, s.Key)
	h.Write([]byte(requestID + "\x00" + code))
	h.Sum(out[:0])
	return out
}

// newPasscode returns uniformly random digits.
func newPasscode() string {
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(passcodeDigits), nil)
	n, err := rand.Int(rand.Reader, limit)
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return fmt.Sprintf("%0*d", passcodeDigits, n)
}

// onlyDigits drops the spaces and hyphens that people type and paste.
func onlyDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
}
