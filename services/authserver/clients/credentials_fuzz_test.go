package clients

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
)

// FuzzReadCredentials: of what a client sends, one method is read or none, and
// never one beside the traces of another (attack P14).
func FuzzReadCredentials(f *testing.F) {
	f.Add("Basic YTpi", "client_id=a")
	f.Add("", "client_id=a&client_secret=b")
	f.Add("bAsIc YTo=", "client_id=a&client_secret=")
	f.Add("", "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=a.b.c&client_id=a")
	f.Add("Bearer x", "client_assertion=a.b.c")
	f.Fuzz(func(t *testing.T, authorization, body string) {
		form, err := url.ParseQuery(body)
		if err != nil {
			return // the middleware refuses it
		}
		header := http.Header{}
		if authorization != "" {
			header["Authorization"] = []string{authorization}
		}
		cred, err := ReadCredentials(header, form)
		if err != nil {
			if cred != (Credentials{}) {
				t.Fatalf("refused, and read %+v", cred)
			}
			return
		}
		traces := map[string]bool{
			AuthBasic: authorization != "", AuthPost: form.Has("client_secret"),
			AuthPrivateKey: form.Has("client_assertion") || form.Has("client_assertion_type"),
		}
		for method, found := range traces {
			if found != (method == cred.Method) {
				t.Fatalf("%q, %q: read as %s", authorization, body, cred.Method)
			}
		}
		if !slices.Contains(AuthMethods, cred.Method) || cred.ID == "" && cred.Method == AuthNone {
			t.Fatalf("%q, %q: read %+v", authorization, body, cred)
		}
	})
}
