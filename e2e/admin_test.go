package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	"demo.example/e2e/person"
)

// TestAdministration: an administrator signs in through the gateway, by the
// public names alone, and sees the users; somebody else signs in and sees
// nothing.
func TestAdministration(t *testing.T) {
	address := demo.Origin("admin") + "/admin/users"
	for email, status := range map[string]int{person.Admin: http.StatusOK, person.John: http.StatusForbidden} {
		p := person.New(demo.Deployment, email)
		callback, err := p.Authorize(t.Context(), address, person.Allow)
		if err != nil {
			t.Fatal(err)
		}
		page, err := p.Open(t.Context(), callback.String())
		if err == nil && page.Callback != nil { // to the page that was asked for
			if got := page.Callback.String(); got != address {
				t.Errorf("%s is sent to %s, want %s", email, got, address)
			}
			page, err = p.Open(t.Context(), page.Callback.String())
		}
		if err != nil {
			t.Fatal(err)
		}
		if page.Status != status || strings.Contains(page.Text, person.Jane) != (status == http.StatusOK) {
			t.Errorf("%s gets %d %q, want %d", email, page.Status, page.Text, status)
		}
	}
}

// TestAdministrationIsApart: what is on one host is not on the other.
func TestAdministrationIsApart(t *testing.T) {
	for _, address := range []string{
		demo.Issuer() + "/admin", demo.Issuer() + "/admin/users", demo.Origin("admin") + "/authorize", demo.Origin("admin") + "/token", demo.Origin("admin") + "/jwks",
		demo.Origin("admin") + "/.well-known/openid-configuration", demo.Origin("admin") + "/", demo.Origin("admin") + "/healthz", demo.Origin("admin") + "/revocations",
	} {
		page, err := person.New(demo.Deployment, person.Nobody).Open(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		if page.Status != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", address, page.Status)
		}
	}
}
