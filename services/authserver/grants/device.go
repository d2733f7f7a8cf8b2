package grants

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
)

// deviceStore is what devices need of the store.
type deviceStore interface {
	AddDevice(ctx context.Context, d store.Device, maxClient, maxIP int, now time.Time) error
	DeviceByUserCode(ctx context.Context, code store.Hash, now time.Time) (store.Device, error)
	PollDevice(ctx context.Context, hash store.Hash, clientID string, now time.Time, next func(store.Device) time.Duration) (store.Device, error)
	ApproveDevice(ctx context.Context, id string, g store.Grant, now time.Time) error
	DenyDevice(ctx context.Context, id string) error
	TakeDevice(ctx context.Context, id string) (store.Grant, error)
}

// The device authorization grant (RFC 8628) is for programs that have no
// browser: the program shows a code, the user types it into a browser on
// another machine, signs in and decides there, and the program polls for the
// outcome. From the typed code on it is an authorization request like any
// other, on the same pages, whose answer goes to the device.
const (
	DeviceLifetime = 10 * time.Minute
	DeviceInterval = 5 * time.Second // between two polls; each one that comes too early adds as much (§3.5)

	// pollLeeway is by how much two polls may come closer together than they
	// were sent.
	pollLeeway = 500 * time.Millisecond

	// What may wait at a time. Codes that wait are what a guesser could hit,
	// and the limit for an address keeps one visitor from using up a client.
	maxDevices      = 1000 // of one client
	maxDevicesOfOne = 50   // of one client from one address
)

// userCodeLetters are those of a user code: no vowels, so that no words come
// about, and nothing that looks like another (§6.1). Eight of them are 34 bits.
const (
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8
)

// DeviceStart is what a device is told (§3.2).
type DeviceStart struct {
	DeviceCode string
	UserCode   string // as it is to be shown
	ExpiresIn  time.Duration
	Interval   time.Duration
}

// StartDevice opens a device authorization for a client, whose request comes
// from an IP address (§3.1).
func (s *Service) StartDevice(ctx context.Context, c store.Client, resources []string, scope, ip string) (DeviceStart, error) {
	if !clients.AllowsGrant(c, oauth.GrantDeviceCode) {
		return DeviceStart{}, oauth.UnauthorizedClient("this client is not registered for " + oauth.GrantDeviceCode)
	}
	resource, refused := s.readResource(c, resources, scope)
	if refused != nil {
		return DeviceStart{}, refused
	}
	scope, refused = s.readScope(c, resource, scope)
	if refused != nil {
		return DeviceStart{}, refused
	}
	now := s.Now()
	for {
		secret, id := newSecret(), rand.Text()
		code := s.userCode(id)
		err := s.Store.AddDevice(ctx, store.Device{
			ID: id, Hash: store.HashOf(secret), UserCode: s.userCodeMAC(code), ClientID: c.ID, IP: ip,
			Scope: scope, Resource: resource, Interval: DeviceInterval, ExpiresAt: now.Add(DeviceLifetime),
		}, maxDevices, maxDevicesOfOne, now)
		switch {
		case errors.Is(err, store.ErrExists):
			continue // another device shows that code: one in 10^10
		case errors.Is(err, store.ErrNotFound):
			return DeviceStart{}, &oauth.Error{Code: "slow_down", Status: http.StatusTooManyRequests, RetryAfter: time.Minute,
				Description: "too many devices of this client wait for their users; finish some, or wait until their codes have expired"}
		case err != nil:
			return DeviceStart{}, fmt.Errorf("store device: %w", err)
		}
		return DeviceStart{DeviceCode: secret, UserCode: ShowUserCode(code), ExpiresIn: DeviceLifetime, Interval: DeviceInterval}, nil
	}
}

// RequestForDevice begins, for a browser, the authorization request of the
// device that shows a code (§3.3). ErrNotFound says that no device does, or
// not any more.
func (s *Service) RequestForDevice(ctx context.Context, code string, browser store.Hash) (store.Request, error) {
	now := s.Now()
	d, err := s.Store.DeviceByUserCode(ctx, s.userCodeMAC(code), now)
	if err != nil {
		return store.Request{}, fmt.Errorf("find device: %w", err)
	}
	client, err := s.Clients.Find(ctx, d.ClientID)
	if errors.Is(err, clients.ErrUnknown) {
		return store.Request{}, fmt.Errorf("client of the device: %w", store.ErrNotFound)
	}
	if err != nil {
		return store.Request{}, err
	}
	r := store.Request{
		ID: rand.Text(), Browser: browser, ClientID: d.ClientID, Client: client, Scope: d.Scope, Resource: d.Resource,
		MaxAge: -1, Device: d.ID, ExpiresAt: earliest(now.Add(RequestLifetime), d.ExpiresAt),
	}
	if err := s.Store.AddRequest(ctx, r); err != nil {
		return r, fmt.Errorf("store authorization request: %w", err)
	}
	return r, nil
}

// RedeemDevice answers a poll (§3.4 and §3.5): with tokens once, after the user
// approved. Polls in parallel are ordinary here, a client repeats one that got
// no answer, so unlike a second code a second poll ends nothing.
func (s *Service) RedeemDevice(ctx context.Context, c store.Client, code string) (Tokens, error) {
	unknown := oauth.InvalidGrant("the device code is unknown or already used; start a new device authorization request")
	now := s.Now()
	early := func(d store.Device) bool { return !d.PolledAt.IsZero() && now.Sub(d.PolledAt) < d.Interval-pollLeeway }
	d, err := s.Store.PollDevice(ctx, store.HashOf(code), c.ID, now, func(d store.Device) time.Duration {
		if early(d) {
			return d.Interval + DeviceInterval
		}
		return d.Interval
	})
	if errors.Is(err, store.ErrNotFound) {
		return Tokens{}, unknown // or another client's, which looks the same
	}
	if err != nil {
		return Tokens{}, fmt.Errorf("find device: %w", err)
	}
	refuse := func(code, description string) (Tokens, error) {
		return Tokens{}, &oauth.Error{Code: code, Description: description, Status: http.StatusBadRequest}
	}
	switch {
	case d.Status == store.DeviceDenied:
		return refuse("access_denied", "the user declined")
	case d.Status == store.DeviceRedeemed:
		return Tokens{}, unknown
	case !now.Before(d.ExpiresAt):
		return refuse("expired_token", "the device code has expired; start a new device authorization request")
	case d.Status == store.DevicePending && early(d):
		return refuse("slow_down", fmt.Sprintf("wait %d seconds from now on before asking again", int((d.Interval+DeviceInterval).Seconds())))
	case d.Status == store.DevicePending:
		return refuse("authorization_pending", "the user has not decided yet; ask again")
	}
	grant, err := s.Store.TakeDevice(ctx, d.ID)
	if errors.Is(err, store.ErrNotFound) {
		return Tokens{}, unknown
	}
	if err != nil {
		return Tokens{}, fmt.Errorf("take device: %w", err)
	}
	return s.redeem(ctx, c, grant)
}

// UserCodeOf returns the code that the device behind a request shows.
func (s *Service) UserCodeOf(r store.Request) string { return ShowUserCode(s.userCode(r.Device)) }

// userCode derives the code of a device from its id, so that the code itself
// is nowhere in the store.
func (s *Service) userCode(deviceID string) string {
	sum := s.deviceMAC("show", deviceID)
	n := binary.BigEndian.Uint64(sum[:8]) // far larger than the codes there are: all are equally likely
	code := make([]byte, userCodeLength)
	for i := range code {
		code[i] = userCodeLetters[n%uint64(len(userCodeLetters))]
		n /= uint64(len(userCodeLetters))
	}
	return string(code)
}

// userCodeMAC is what a code is looked up by.
func (s *Service) userCodeMAC(code string) store.Hash { return s.deviceMAC("find", code) }

func (s *Service) deviceMAC(use, value string) (out store.Hash) {
	h := hmac.New(sha256.New, s.DeviceKey)
	h.Write([]byte(use + "\x00" + value))
	h.Sum(out[:0])
	return out
}

// ShowUserCode writes a code in the way that is easiest to read and type.
func ShowUserCode(code string) string {
	return code[:userCodeLength/2] + "-" + code[userCodeLength/2:]
}

// ParseUserCode reads what a user typed: in any case, with or without the
// hyphen and spaces. ok is false when it cannot be a code.
func ParseUserCode(typed string) (code string, ok bool) {
	code = strings.Map(func(r rune) rune {
		switch {
		case r == '-' || r == ' ' || r == '\t':
			return -1
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		}
		return r
	}, typed)
	if len(code) != userCodeLength || strings.Trim(code, userCodeLetters) != "" {
		return "", false
	}
	return code, true
}
