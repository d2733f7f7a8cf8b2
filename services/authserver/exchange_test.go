package authserver

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/store"
)

// subjects returns the two forms of a token that may be exchanged.
func (h *harness) subjects(access string) map[string]string {
	h.Helper()
	return map[string]string{"opaque": access, "JWT": h.phantom(access)}
}

// exchange asks as the MCP server does for a token for the stocks API.
func (h *harness) exchange(subject string, change ...func(url.Values)) answer {
	h.Helper()
	form := exchangeForm(subject, h.cfg.APIResource())
	for _, f := range change {
		f(form)
	}
	return h.post(h.newBrowser(), "/token", form, basic("stocksmcp")...)
}

func set(name, value string) func(url.Values) { return func(f url.Values) { f.Set(name, value) } }

// TestExchangeAttacks: section X of docs/security.md, for both forms of subject
// token.
func TestExchangeAttacks(t *testing.T) {
	h, key := newHarness(t), ecKey()
	agent := h.agent()
	query := h.authorizeQuery(agent)
	query.Set("scope", "stocks/read openid")
	tokens := h.post(h.newBrowser(), "/token", redeemForm(agent, h.code(query, john))).JSON
	access, api := tokens["access_token"].(string), h.cfg.APIResource()

	t.Run("X1 public and unlisted clients", func(t *testing.T) {
		withKey := h.keyClient(nil, key)
		for form, subject := range h.subjects(access) {
			f := exchangeForm(subject, api)
			wantError(h, form+", public", h.post(h.newBrowser(), "/token", with(f, "client_id", agent)), 400, "unauthorized_client")
			wantError(h, form+", with a key", h.post(h.newBrowser(), "/token", asserted(f, key.sign(h.assertion(withKey), nil))), 400, "unauthorized_client")
			for _, id := range []string{"gateway", "stocks-web", "stocks-report"} {
				wantError(h, form+", "+id, h.post(h.newBrowser(), "/token", f, basic(id)...), 400, "unauthorized_client")
			}
			wantError(h, form+", nobody", h.post(h.newBrowser(), "/token", f), 401, "invalid_client")
		}
	})

	t.Run("X2 a token for another resource", func(t *testing.T) {
		forAPI := h.post(h.newBrowser(), "/token", ownForm(), basic("stocks-report")...).JSON["access_token"].(string)
		for form, subject := range h.subjects(forAPI) {
			wantError(h, form, h.exchange(subject), 400, "invalid_request")
		}
		wantError(h, "already exchanged", h.exchange(h.exchange(access).JSON["access_token"].(string)), 400, "invalid_request")
	})

	t.Run("X3 more than the policy allows", func(t *testing.T) {
		for form, subject := range h.subjects(access) {
			wantError(h, form+": scope", h.exchange(subject, set("scope", "stocks/read admin")), 400, "invalid_scope")
			wantError(h, form+": openid", h.exchange(subject, set("scope", "openid")), 400, "invalid_scope")
			wantError(h, form+": resource", h.exchange(subject, set("resource", "https://other.example")), 400, "invalid_target")
			wantError(h, form+": the same resource", h.exchange(subject, set("resource", h.cfg.MCPResource())), 400, "invalid_target")
			wantError(h, form+": audience beside", h.exchange(subject, set("audience", "https://other.example")), 400, "invalid_target")
		}
	})

	t.Run("X4 a token that ended", func(t *testing.T) {
		ends := map[string]func(h *harness, client, code, access string){
			"revoked": func(h *harness, client, _, access string) {
				h.post(h.newBrowser(), "/revoke", url.Values{"client_id": {client}, "token": {access}})
			},
			"expired":       func(h *harness, _, _, _ string) { h.wait(15 * time.Minute) },
			"replayed code": func(h *harness, client, code, _ string) { h.post(h.newBrowser(), "/token", redeemForm(client, code)) },
			"suspended user": func(h *harness, _, _, _ string) {
				user, err := h.db.UserByEmail(h.Context(), john)
				if err != nil {
					h.Fatal(err)
				}
				if err := h.db.SetUserStatus(h.Context(), user.ID, store.UserSuspended); err != nil {
					h.Fatal(err)
				}
			},
		}
		for name, end := range ends {
			h := newHarness(t)
			client := h.agent()
			code := h.code(h.authorizeQuery(client), john)
			access := h.post(h.newBrowser(), "/token", redeemForm(client, code)).JSON["access_token"].(string)
			subjects := h.subjects(access)
			for form, subject := range subjects {
				if a := h.exchange(subject); a.Status != http.StatusOK {
					t.Errorf("%s, %s: %d %s before it ended", name, form, a.Status, a.Body)
				}
			}
			end(h, client, code, access)
			for form, subject := range subjects {
				wantError(h, name+", "+form, h.exchange(subject), 400, "invalid_request")
			}
		}
	})

	t.Run("X5 X11 other tokens labelled as access token", func(t *testing.T) {
		for name, subject := range map[string]string{
			"ID token": tokens["id_token"].(string), "refresh token": tokens["refresh_token"].(string),
			"client assertion": key.sign(h.assertion(agent), nil), "a code": h.code(query, john),
		} {
			wantError(h, name, h.exchange(subject), 400, "invalid_request")
			wantError(h, name+" as JWT", h.exchange(subject, set("subject_token_type", "urn:ietf:params:oauth:token-type:jwt")), 400, "invalid_request")
		}
		for _, kind := range []string{"id_token", "refresh_token"} {
			for form, subject := range h.subjects(access) {
				wantError(h, form+" labelled as "+kind, h.exchange(subject, set("subject_token_type", "urn:ietf:params:oauth:token-type:"+kind)), 400, "invalid_request")
			}
		}
		wantError(h, "ID token as what it is", h.exchange(tokens["id_token"].(string), set("subject_token_type", "urn:ietf:params:oauth:token-type:id_token")), 400, "invalid_request")
	})

	// The id of a token is in logs and in the audit trail: who reads it there
	// must not be able to make a token of it.
	t.Run("X5 a JWT made of the id of a live token", func(t *testing.T) {
		raw := h.phantom(access)
		header, claims := claimsOf(t, raw)
		claim := func(name string, value any) jwt.MapClaims {
			out := maps.Clone(jwt.MapClaims(claims))
			out[name] = value
			return out
		}
		signed := func(typ string, claims jwt.MapClaims) string {
			out, err := h.keys.Sign(typ, claims)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		if a := h.exchange(signed("at+jwt", claims)); a.Status != http.StatusOK {
			t.Fatalf("made as this server makes them: %d %s", a.Status, a.Body)
		}
		parts := strings.Split(raw, ".")
		none := b64([]byte(`{"alg":"none","typ":"at+jwt"}`))
		later := claim("exp", h.time().Add(time.Hour).Unix())
		for name, subject := range map[string]string{
			"another key":             key.sign(claims, header),
			"another key, later exp":  key.sign(later, header),
			"no signature":            parts[0] + "." + parts[1] + ".",
			"alg none":                none + "." + parts[1] + ".",
			"another's signature":     strings.Join(parts[:2], ".") + "." + strings.Split(signed("at+jwt", later), ".")[2],
			"typ of an ID token":      signed("JWT", claims),
			"typ of an introspection": signed("token-introspection+jwt", claims),
			"another issuer":          signed("at+jwt", claim("iss", "https://other.example")),
			"another audience":        signed("at+jwt", claim("aud", h.cfg.APIResource())),
			"expired":                 signed("at+jwt", claim("exp", h.time().Add(-time.Second).Unix())),
			"no exp":                  signed("at+jwt", claim("exp", nil)),
		} {
			wantError(h, name, h.exchange(subject), 400, "invalid_request")
		}
	})

	t.Run("X6 opaque subject tokens", func(t *testing.T) {
		if a := h.exchange(access); a.Status != http.StatusOK {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		wantError(h, "labelled JWT", h.exchange(access, set("subject_token_type", "urn:ietf:params:oauth:token-type:jwt")), 400, "invalid_request")
		for _, subject := range []string{"x", access[:42], access + "A", access + ".", "." + access, "..", "\x00", "🙂"} {
			wantError(h, subject, h.exchange(subject), 400, "invalid_request")
		}
		wantError(h, "empty", h.exchange(""), 400, "invalid_request")
	})

	t.Run("X7 no requested_token_type", func(t *testing.T) {
		for form, subject := range h.subjects(access) {
			a := h.exchange(subject)
			if a.Status != http.StatusOK || a.JSON["refresh_token"] != nil || a.JSON["id_token"] != nil || a.JSON["authorization_details"] != nil || a.JSON["issued_token_type"] != "urn:ietf:params:oauth:token-type:access_token" {
				t.Errorf("%s: %d %s", form, a.Status, a.Body)
			}
			wantError(h, form+": refresh token wanted", h.exchange(subject, set("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")), 400, "invalid_request")
		}
	})

	t.Run("X9 what an exchanged token says", func(t *testing.T) {
		h := newHarness(t)
		access := h.tokens(h.agent(), jane).JSON["access_token"].(string)
		subjects := h.subjects(access)
		_, before := claimsOf(t, subjects["JWT"])
		for _, age := range []time.Duration{0, 12 * time.Minute} {
			h.wait(age)
			for form, subject := range subjects {
				a := h.exchange(subject)
				if a.Status != http.StatusOK {
					t.Fatalf("%s: %d %s", form, a.Status, a.Body)
				}
				_, after := claimsOf(t, a.JSON["access_token"].(string))
				for _, name := range []string{"iss", "sub", "client_id", "client_type", "client_assurance_level", "region", "auth_time", "acr", "scope"} {
					if !cmp.Equal(before[name], after[name]) {
						t.Errorf("%s: %s was %v and is %v", form, name, before[name], after[name])
					}
				}
				if after["exp"].(float64) > before["exp"].(float64) || after["client_assurance_level"] != 1.0 || after["region"] != "Europe" {
					t.Errorf("%s, after %s: %v", form, age, after)
				}
				// It is for the stocks API: nobody here takes it for anything.
				exchanged := a.JSON["access_token"].(string)
				if got := h.introspected(exchanged); got["active"] != false {
					t.Errorf("introspection of an exchanged token: %v", got)
				}
				wantError(h, "as client assertion", h.tryAssertion(exchanged), 401, "invalid_client")
			}
		}
	})
}
