package record_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"demo.example/e2e/record"
)

const canary = "s3cret-canary"

func TestCredentialsNeverShow(t *testing.T) {
	query := &url.URL{Scheme: "http", Host: "127.0.0.1:1", Path: "/cb", RawQuery: "code=" + canary + "&state=visible"}
	tests := map[string]string{
		"code in a URL":           record.URL(query),
		"bearer token":            record.Header(http.Header{"Authorization": {"Bearer " + canary}}, "Authorization"),
		"basic credentials":       record.Header(http.Header{"Authorization": {"Basic " + canary}}, "authorization"),
		"cookie":                  record.Header(http.Header{"Set-Cookie": {"__Host-s=" + canary + "; Path=/"}}, "Set-Cookie"),
		"code in a redirect":      record.Header(http.Header{"Location": {query.String()}}, "Location"),
		"verifier in a form":      record.Body("application/x-www-form-urlencoded", []byte("grant_type=x&code_verifier="+canary)),
		"token in JSON":           record.Body("application/json; charset=utf-8", []byte(`{"access_token":"`+canary+`"}`)),
		"token in nested JSON":    record.Body("application/json", []byte(`[{"a":{"refresh_token":"`+canary+`"}}]`)),
		"token in an event":       record.Body("text/event-stream", []byte("event: message\ndata: {\"token\":\""+canary+"\"}\n\n")),
		"phantom token":           record.Body("application/jwt", []byte(canary)),
		"fingerprint of a secret": record.Fingerprint(canary),
	}
	for name, got := range tests {
		if strings.Contains(got, canary) || got == "" {
			t.Errorf("%s: shown as %q", name, got)
		}
	}
	if got := record.URL(query); !strings.Contains(got, "state=visible") {
		t.Errorf("URL(%q) = %q, want the rest to stay readable", query, got)
	}
}

func TestFingerprintTellsTokensApart(t *testing.T) {
	seen := map[string]string{}
	for _, secret := range []string{"a", "b", "a"} {
		f := record.Fingerprint(secret)
		if other, ok := seen[f]; ok && other != secret {
			t.Error("two secrets have the same fingerprint")
		}
		seen[f] = secret
	}
	if len(seen) != 2 {
		t.Errorf("%d fingerprints of two secrets", len(seen))
	}
}
