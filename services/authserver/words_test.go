package authserver

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"demo.example/services/authserver/trail"
)

// TestLinksPutNoWordsOnPages: no link to this host, and no form that another
// site sends here, shows words of whoever made it, as if they were ours.
func TestLinksPutNoWordsOnPages(t *testing.T) {
	h := newHarness(t)
	const words = "Your account was locked. Call 0800 555 0100"
	signedIn := h.newBrowser()
	h.signInAs(signedIn, h.authorizeQuery(h.agent()), john)
	queries := map[string]string{
		"a name twice":     url.QueryEscape(words) + "=1&" + url.QueryEscape(words) + "=2",
		"a name":           url.QueryEscape(words) + "=1",
		"an error":         url.Values{"error": {words}, "error_description": {words}, "state": {words}}.Encode(),
		"malformed":        "%zz" + url.QueryEscape(words),
		"known client":     with(h.authorizeQuery("stocks-web"), "redirect_uri", words).Encode(),
		"nobody hinted at": url.Values{"login_hint": {words}, "id_token_hint": {words}, "email": {words}}.Encode(),
		"all known to pages": url.Values{
			"client_id": {words}, "redirect_uri": {words}, "post_logout_redirect_uri": {words}, "request_uri": {words},
			"request": {words}, "approval": {words}, "user_code": {words}, "done": {words}, "as": {words}, "decision": {words},
		}.Encode(),
	}
	for _, path := range []string{"/", "/authorize", "/signin", "/passcode", "/consent", "/device", "/approve", "/account", "/signout", "/logout", "/" + url.PathEscape(words)} {
		for name, query := range queries {
			for who, browser := range map[string]*http.Client{"nobody": h.newBrowser(), "signed in": signedIn} {
				answers := []answer{h.follow(browser, h.get(browser, path+"?"+query))}
				if path == "/authorize" || path == "/logout" {
					answers = append(answers, h.do(browser, h.request(http.MethodPost, path, query, "Content-Type", "application/x-www-form-urlencoded")))
				}
				for _, a := range answers {
					if body := html.UnescapeString(a.Body); strings.Contains(body, "locked") || strings.Contains(body, "0800") {
						t.Errorf("%s, %s, %s: %s", path, name, who, a.Body)
					}
				}
			}
		}
	}
	for _, e := range h.trailOf(trail.Filter{}) {
		if strings.Contains(e.Reason, "locked") {
			t.Errorf("recorded: %+v", e)
		}
	}
}
