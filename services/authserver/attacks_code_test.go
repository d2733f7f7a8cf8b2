package authserver

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/grants"
)

// Section P of docs/security.md, as far as traps_test.go does not have it:
// P1, P4 and half of P5 are its case 1, P6 to P8 and P11 case 6, P9 case 9, P10
// case 10, P13, P16 and P19 case 8, P14 and P15 case 7.

func TestPKCEAttacks(t *testing.T) {
	h := newHarness(t)
	secret := "stocks-web:client-stocks-web" + secretFor
	web := []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(secret))}
	webCode := func() url.Values {
		h.Helper()
		query := h.authorizeQuery("stocks-web")
		query.Set("redirect_uri", h.cfg.Origin("client")+"/callback")
		query.Set("resource", h.cfg.APIResource())
		query.Set("prompt", "consent")
		browser := h.newBrowser()
		form := fields(h.signInAs(browser, query, john))
		form.Set("decision", "allow")
		back, err := url.Parse(h.post(browser, "/consent", form).Header.Get("Location"))
		if err != nil || !back.Query().Has("code") {
			t.Fatalf("no code: %v", back)
		}
		return url.Values{"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "redirect_uri": {query.Get("redirect_uri")}, "code_verifier": {verifier}}
	}
	t.Run("P1 P4 a confidential client without PKCE", func(t *testing.T) {
		for name, change := range map[string]func(url.Values){
			"P1": func(q url.Values) { q.Del("code_challenge"); q.Del("code_challenge_method") },
			"P4": func(q url.Values) { q.Set("code_challenge_method", "plain") },
		} {
			query := h.authorizeQuery("stocks-web")
			query.Set("redirect_uri", h.cfg.Origin("client")+"/callback")
			query.Set("resource", h.cfg.APIResource())
			change(query)
			if got := h.get(h.newBrowser(), "/authorize?"+query.Encode()).Header.Get("Location"); !strings.Contains(got, "error=invalid_request") {
				t.Errorf("%s: Location %q", name, got)
			}
		}
	})
	t.Run("P2 no verifier", func(t *testing.T) {
		agent := h.agent()
		for _, change := range []func(url.Values){func(f url.Values) { f.Del("code_verifier") }, func(f url.Values) { f.Set("code_verifier", "") }} {
			form := redeemForm(agent, h.code(h.authorizeQuery(agent), john))
			change(form)
			wantError(h, "P2 public client", h.post(h.newBrowser(), "/token", form), 400, "invalid_grant")
			form = webCode()
			change(form)
			wantError(h, "P2 confidential client", h.post(h.newBrowser(), "/token", form, web...), 400, "invalid_grant")
		}
		if a := h.post(h.newBrowser(), "/token", webCode(), web...); a.Status != http.StatusOK {
			t.Errorf("the right verifier: %d %s", a.Status, a.Body)
		}
	})
	t.Run("P3 a verifier without a challenge", func(t *testing.T) {
		// No request without a challenge gets as far as a code: this is the
		// second lock.
		if err := grants.VerifyPKCE("", verifier); err == nil {
			t.Error("P3 an empty challenge is met")
		}
		if err := grants.VerifyPKCE("", ""); err == nil {
			t.Error("P3 nothing equals nothing")
		}
	})
	t.Run("P5 length and characters of the verifier", func(t *testing.T) {
		agent := h.agent()
		for _, v := range []string{verifier[:42], strings.Repeat("v", 129), verifier + "=", verifier + " ", "\x00" + verifier, verifier + "\n", challenge} {
			form := redeemForm(agent, h.code(h.authorizeQuery(agent), john))
			form.Set("code_verifier", v)
			wantError(h, "P5 "+v, h.post(h.newBrowser(), "/token", form), 400, "invalid_grant")
		}
	})
	t.Run("P8 another client's code", func(t *testing.T) {
		form := webCode()
		wantError(h, "P8 without authentication", h.post(h.newBrowser(), "/token", form), 401, "invalid_client")
		stolen := url.Values{}
		for k, v := range form {
			stolen[k] = v
		}
		stolen.Set("client_id", h.agent())
		wantError(h, "P8 a public client", h.post(h.newBrowser(), "/token", stolen), 400, "invalid_grant")
		wantError(h, "P8 a wrong secret", h.post(h.newBrowser(), "/token", form, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("stocks-web:wrong"))), 401, "invalid_client")
		if a := h.post(h.newBrowser(), "/token", form, web...); a.Status != http.StatusOK {
			t.Errorf("P8 the rightful client: %d %s", a.Status, a.Body)
		}
	})
	t.Run("P7 a replay ends refreshed tokens too", func(t *testing.T) {
		agent := h.agent()
		form := redeemForm(agent, h.code(h.authorizeQuery(agent), john))
		first := h.post(h.newBrowser(), "/token", form).JSON
		second := h.post(h.newBrowser(), "/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {agent}, "refresh_token": {first["refresh_token"].(string)}}).JSON
		h.wait(2 * time.Minute) // also after the code has expired
		wantError(h, "P7 replay", h.post(h.newBrowser(), "/token", form), 400, "invalid_grant")
		for _, token := range []any{first["access_token"], second["access_token"]} {
			if got := h.introspected(token.(string)); !cmp.Equal(got, map[string]any{"active": false}) {
				t.Errorf("P7 a token survived: %v", got)
			}
		}
		wantError(h, "P7 refresh", h.post(h.newBrowser(), "/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {agent}, "refresh_token": {second["refresh_token"].(string)}}), 400, "invalid_grant")
	})
}

// TestTokenRequestAttacks: what the token endpoint says and takes. Who may use
// it (P13 to P16) is in TestTokenEndpointAttacks.
func TestTokenRequestAttacks(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	send := func(contentType, body string) answer {
		return h.do(h.newBrowser(), h.request(http.MethodPost, "/token", body, "Content-Type", contentType))
	}
	form := url.Values{"grant_type": {"refresh_token"}, "client_id": {agent}, "refresh_token": {"x"}}
	with := func(name, value string) url.Values {
		out := url.Values{}
		for k, v := range form {
			out[k] = v
		}
		out.Set(name, value)
		return out
	}
	t.Run("P17 P18 what errors say", func(t *testing.T) {
		words := regexp.MustCompile(`(?i)sql|panic|goroutine|\.go\b|no rows|store|zitadel|schema:|unmarshal|runtime|pointer|demo\.example/`)
		for name, a := range map[string]answer{
			"unknown client, refresh":    h.post(h.newBrowser(), "/token", with("client_id", "dcr-nobody")),
			"unknown client, code":       h.post(h.newBrowser(), "/token", redeemForm("dcr-nobody", "x")),
			"client id of 60 kB":         h.post(h.newBrowser(), "/token", with("client_id", strings.Repeat("x", 60<<10))),
			"client id with SQL":         h.post(h.newBrowser(), "/token", with("client_id", `' OR 1=1 --`)),
			"client id with NUL":         h.post(h.newBrowser(), "/token", with("client_id", "a\x00b")),
			"client id not UTF-8":        h.post(h.newBrowser(), "/token", with("client_id", "\xff\xfe")),
			"refresh token not UTF-8":    h.post(h.newBrowser(), "/token", with("refresh_token", "\xff")),
			"code empty":                 h.post(h.newBrowser(), "/token", redeemForm(agent, "")),
			"unknown client, introspect": h.post(h.newBrowser(), "/introspect", url.Values{"token": {"x"}}, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("nobody:x"))),
			"unknown client, revoke":     h.post(h.newBrowser(), "/revoke", url.Values{"client_id": {"nobody"}, "token": {"x"}}),
			"registration":               h.do(h.newBrowser(), h.request(http.MethodPost, "/register", `{"redirect_uris":1}`, "Content-Type", "application/json")),
		} {
			if a.Status < 400 || a.Status >= 500 || a.JSON["error"] == nil || words.MatchString(a.Body) {
				t.Errorf("P17 %s: %d %s", name, a.Status, a.Body)
			}
			if a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("P18 %s: Cache-Control %q", name, a.Header.Get("Cache-Control"))
			}
		}
		tokens := h.tokens(agent, john)
		for name, a := range map[string]answer{
			"token": tokens, "registration": h.registerRaw(agentMetadata()),
			"introspection": h.post(h.newBrowser(), "/introspect", url.Values{"token": {tokens.JSON["access_token"].(string)}}, basic("gateway")...),
			"phantom token": h.post(h.newBrowser(), "/introspect", url.Values{"token": {tokens.JSON["access_token"].(string)}}, append(basic("gateway"), "Accept", "application/jwt")...),
			"revocation":    h.post(h.newBrowser(), "/revoke", url.Values{"client_id": {agent}, "token": {"x"}}),
		} {
			if a.Status >= 300 || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("P18 %s: %d, Cache-Control %q", name, a.Status, a.Header.Get("Cache-Control"))
			}
		}
		if a := h.authorizeAs("dcr-nobody"); !isLocal(a) {
			t.Errorf("P17 unknown client at /authorize: %d", a.Status)
		}
	})
	t.Run("P20 other bodies", func(t *testing.T) {
		for name, a := range map[string]answer{
			"JSON":             send("application/json", `{"grant_type":"refresh_token"}`),
			"multipart":        send("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\nrefresh_token\r\n--x--\r\n"),
			"text":             send("text/plain", form.Encode()),
			"no type":          send("", form.Encode()),
			"malformed type":   send("application/x-www-form-urlencoded; =", form.Encode()),
			"bad escape":       send("application/x-www-form-urlencoded", "grant_type=%zz&client_id="+agent),
			"semicolon":        send("application/x-www-form-urlencoded", "grant_type=refresh_token;client_id="+agent),
			"too large":        send("application/x-www-form-urlencoded", "grant_type=refresh_token&x="+strings.Repeat("x", 70<<10)),
			"many parameters":  send("application/x-www-form-urlencoded", strings.Repeat("a&", 20_000)),
			"twice, same name": send("application/x-www-form-urlencoded", form.Encode()+"&client_id="+agent),
		} {
			wantError(h, "P20 "+name, a, 400, "invalid_request")
		}
	})
}
