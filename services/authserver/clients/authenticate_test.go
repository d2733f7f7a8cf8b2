package clients

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
)

func basic(credentials string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
}

// isInvalidClient reports whether an error is the one answer that all failed
// authentication gets.
func isInvalidClient(err error) bool {
	var e *oauth.Error
	return errors.As(err, &e) && cmp.Equal(e, oauth.InvalidClient())
}

func TestReadCredentials(t *testing.T) {
	tests := map[string]struct {
		authorization []string
		form          url.Values
		want          Credentials // zero: refused
	}{
		"public":                    {nil, url.Values{"client_id": {"a"}}, Credentials{"a", "", AuthNone}},
		"post":                      {nil, url.Values{"client_id": {"a"}, "client_secret": {"s"}}, Credentials{"a", "s", AuthPost}},
		"post, empty secret":        {nil, url.Values{"client_id": {"a"}, "client_secret": {""}}, Credentials{"a", "", AuthPost}},
		"basic":                     {[]string{basic("a:s")}, nil, Credentials{"a", "s", AuthBasic}},
		"basic, any case":           {[]string{"bAsIc " + basic("a:s")[6:]}, nil, Credentials{"a", "s", AuthBasic}},
		"basic, empty secret":       {[]string{basic("a:")}, nil, Credentials{"a", "", AuthBasic}},
		"basic, colon in secret":    {[]string{basic("a:s:t")}, nil, Credentials{"a", "s:t", AuthBasic}},
		"basic, form-urlencoded":    {[]string{basic("https%3A%2F%2Fa.example%2Fc:s%2B+%25")}, nil, Credentials{"https://a.example/c", "s+ %", AuthBasic}},
		"basic and the same id":     {[]string{basic("a:s")}, url.Values{"client_id": {"a"}}, Credentials{"a", "s", AuthBasic}},
		"basic and another id":      {[]string{basic("a:s")}, url.Values{"client_id": {"b"}}, Credentials{}},
		"basic and an empty id":     {[]string{basic("a:s")}, url.Values{"client_id": {""}}, Credentials{}},
		"basic and post":            {[]string{basic("a:s")}, url.Values{"client_id": {"a"}, "client_secret": {"s"}}, Credentials{}},
		"basic and an empty secret": {[]string{basic("a:s")}, url.Values{"client_secret": {""}}, Credentials{}},
		"basic twice":               {[]string{basic("a:s"), basic("b:s")}, nil, Credentials{}},
		"assertion":                 {nil, url.Values{"client_id": {"a"}, "client_assertion": {"x"}}, Credentials{}},
		"assertion type alone":      {nil, url.Values{"client_id": {"a"}, "client_assertion_type": {"x"}}, Credentials{}},
		"assertion and basic":       {[]string{basic("a:s")}, url.Values{"client_assertion": {"x"}}, Credentials{}},
		"nothing":                   {nil, nil, Credentials{}},
		"empty id":                  {nil, url.Values{"client_id": {""}}, Credentials{}},
		"bearer":                    {[]string{"Bearer a"}, url.Values{"client_id": {"a"}}, Credentials{}},
		"empty header":              {[]string{""}, url.Values{"client_id": {"a"}}, Credentials{}},
		"basic, no value":           {[]string{"Basic"}, nil, Credentials{}},
		"basic, not base64":         {[]string{"Basic ???"}, nil, Credentials{}},
		"basic, no colon":           {[]string{basic("a")}, nil, Credentials{}},
		"basic, no id":              {[]string{basic(":s")}, nil, Credentials{}},
		"basic, bad escape in id":   {[]string{basic("a%zz:s")}, nil, Credentials{}},
		"basic, bad escape":         {[]string{basic("a:s%")}, nil, Credentials{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ReadCredentials(http.Header{"Authorization": tt.authorization}, tt.form)
			if tt.want == (Credentials{}) && !isInvalidClient(err) || tt.want != (Credentials{}) && err != nil {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestAuthenticate(t *testing.T) {
	hash := store.HashOf("secret")
	r, m := newRegistry(
		store.Client{ID: "public", AuthMethod: AuthNone},
		store.Client{ID: "basic", AuthMethod: AuthBasic, SecretHash: hash},
		store.Client{ID: "post", AuthMethod: AuthPost, SecretHash: hash},
		store.Client{ID: "lost", AuthMethod: AuthBasic}, // its secret was never set
		store.Client{ID: "empty", AuthMethod: AuthBasic, SecretHash: store.HashOf("")},
		store.Client{ID: "future", AuthMethod: "private_key_jwt"},
	)
	tests := map[string]struct {
		cred Credentials
		ok   bool
	}{
		"public":                        {Credentials{"public", "", AuthNone}, true},
		"basic":                         {Credentials{"basic", "secret", AuthBasic}, true},
		"post":                          {Credentials{"post", "secret", AuthPost}, true},
		"reviewed":                      {Credentials{"reviewed", "", AuthNone}, true},
		"public with empty Basic":       {Credentials{"public", "", AuthBasic}, false},
		"public with empty post secret": {Credentials{"public", "", AuthPost}, false},
		"public with a secret":          {Credentials{"public", "secret", AuthBasic}, false},
		"secret left out":               {Credentials{"basic", "", AuthNone}, false},
		"empty secret":                  {Credentials{"basic", "", AuthBasic}, false},
		"wrong secret":                  {Credentials{"basic", "Secret", AuthBasic}, false},
		"part of the secret":            {Credentials{"basic", "secre", AuthBasic}, false},
		"its hash":                      {Credentials{"basic", string(hash[:]), AuthBasic}, false},
		"post for basic":                {Credentials{"basic", "secret", AuthPost}, false},
		"basic for post":                {Credentials{"post", "secret", AuthBasic}, false},
		"unset secret":                  {Credentials{"lost", "", AuthBasic}, false},
		"unknown":                       {Credentials{"nobody", "secret", AuthBasic}, false},
		"unknown public":                {Credentials{"nobody", "", AuthNone}, false},
		"nothing":                       {Credentials{}, false},
		"a method not offered":          {Credentials{"future", "", AuthNone}, false},
	}
	for name, tt := range tests {
		c, err := r.Authenticate(t.Context(), tt.cred)
		switch {
		case tt.ok && (err != nil || c.ID != tt.cred.ID):
			t.Errorf("%s: %v, %v", name, c, err)
		case !tt.ok && (!isInvalidClient(err) || c.ID != ""):
			t.Errorf("%s: got client %q and error %v", name, c.ID, err)
		}
	}
	m.down = errors.New("the disk is full")
	if _, err := r.Authenticate(t.Context(), Credentials{"basic", "secret", AuthBasic}); err == nil || isInvalidClient(err) {
		t.Errorf("an outage looks like a wrong secret: %v", err)
	}
}
