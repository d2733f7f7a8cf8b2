package authserver

import (
	"time"

	"demo.example/services/authserver/limits"
)

// What may be guessed of user codes in an hour (RFC 8628 §5.1). There are 20^8
// codes, and a guess finds a device as likely as there are devices that wait.
// So a wrong code is worth as much as there are: half a million an hour find
// one in two thousand days, and then have signed the guesser's own account in
// on a stranger's device.
//
// What guessers use up of the whole keeps everybody's devices from being
// connected. With ten that wait it takes 50,000 wrong codes from 500 sites;
// those who type from elsewhere are limited by their own network alone.
const (
	userCodesPerNetwork = 20
	userCodesPerSite    = 100
	userCodesWorth      = 500_000
	userCodeWindow      = time.Hour
)

// userCodes counts the wrong ones.
type userCodes struct{ networks, sites, all *limits.Limiter }

func newUserCodes(now func() time.Time) userCodes {
	each := func(key int) *limits.Limiter { return limits.New(key, userCodesWorth, userCodeWindow, now) }
	return userCodes{each(userCodesPerNetwork), each(userCodesPerSite), each(userCodesWorth)}
}

// take counts a code that was typed while so many devices wait, and returns
// what takes it back. Above a limit it counts nothing and returns how long to
// wait.
func (u userCodes) take(ip string, waiting int) (refund func(), wait time.Duration) {
	waiting = max(1, waiting)
	network, site := limits.Network(ip), limits.Site(ip)
	if wait = u.networks.Take(network); wait > 0 {
		return nil, wait
	}
	if wait = u.sites.Take(site); wait > 0 {
		u.networks.Refund(network)
		return nil, wait
	}
	if wait = u.all.TakeN("", waiting); wait > 0 {
		u.networks.Refund(network)
		u.sites.Refund(site)
		return nil, wait
	}
	return func() {
		u.networks.Refund(network)
		u.sites.Refund(site)
		u.all.RefundN("", waiting)
	}, 0
}
