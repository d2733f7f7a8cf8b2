package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// secretFields are the parameters and members whose values are credentials,
// in queries, forms and JSON alike.
var secretFields = []string{
	"access_token", "refresh_token", "id_token", "token", "subject_token", "actor_token",
	"code", "code_verifier", "client_secret", "registration_access_token", "passcode", "csrf", "request",
}

// Fingerprint stands for a secret: the same secret has the same fingerprint,
// and nobody can use one.
func Fingerprint(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	kind := "opaque"
	if strings.HasPrefix(secret, "eyJ") && strings.Count(secret, ".") == 2 {
		kind = "JWT"
	}
	return "‹" + kind + " #" + hex.EncodeToString(sum[:3]) + "›"
}

// URL returns the address with the credentials in its query redacted.
func URL(u *url.URL) string {
	if u.RawQuery == "" {
		return u.String()
	}
	bare := *u
	bare.RawQuery = ""
	return bare.String() + "?" + form(u.RawQuery)
}

// Header returns the value of a header with credentials redacted.
func Header(h http.Header, name string) string {
	value := strings.Join(h.Values(name), ", ")
	switch http.CanonicalHeaderKey(name) {
	case "Authorization":
		scheme, credentials, _ := strings.Cut(value, " ")
		if credentials == "" {
			return value
		}
		return scheme + " " + Fingerprint(credentials)
	case "Cookie", "Set-Cookie":
		if name, _, ok := strings.Cut(value, "="); ok {
			return name + "=…"
		}
	case "Location":
		if u, err := url.Parse(value); err == nil {
			return URL(u)
		}
	}
	return value
}

// Body returns a body with credentials redacted, JSON indented and the
// parameters of a form a line each.
func Body(contentType string, body []byte) string {
	media, _, _ := strings.Cut(contentType, ";")
	switch strings.TrimSpace(media) {
	case "application/x-www-form-urlencoded":
		return strings.ReplaceAll(form(string(body)), "&", "\n")
	case "application/jwt":
		return Fingerprint(string(bytes.TrimSpace(body)))
	case "text/event-stream":
		return events(body)
	case "application/json", "application/problem+json":
		return jsonText(body)
	case "text/html":
		return ""
	}
	return strings.TrimSpace(string(body))
}

// form redacts a form-urlencoded string. Values are shown decoded: this is
// for people.
func form(encoded string) string {
	var params []string
	for pair := range strings.SplitSeq(encoded, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(value); err == nil {
			value = decoded
		}
		if slices.Contains(secretFields, name) && value != "" {
			value = Fingerprint(value)
		}
		params = append(params, name+"="+value)
	}
	return strings.Join(params, "&")
}

// events returns the data of server-sent events.
func events(stream []byte) string {
	var data []string
	for line := range strings.Lines(string(stream)) {
		if text, ok := strings.CutPrefix(line, "data:"); ok && strings.TrimSpace(text) != "" {
			data = append(data, jsonText([]byte(text)))
		}
	}
	return strings.Join(data, "\n")
}

// jsonText indents JSON and redacts the members that are credentials.
func jsonText(body []byte) string {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return strings.TrimSpace(string(body))
	}
	return Indent(redactJSON(value))
}

func redactJSON(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			if secret, ok := member.(string); ok && slices.Contains(secretFields, name) {
				v[name] = Fingerprint(secret)
			} else {
				v[name] = redactJSON(member)
			}
		}
	case []any:
		for i := range v {
			v[i] = redactJSON(v[i])
		}
	}
	return value
}

// Secrets returns the credentials in an exchange: those in the query, form or
// JSON of the request, in the redirect, in cookies and in the answer.
func (e Exchange) Secrets() []string {
	found := formSecrets(e.Request.URL.RawQuery)
	if _, credentials, ok := strings.Cut(e.Request.Header.Get("Authorization"), " "); ok {
		found = append(found, credentials)
	}
	if strings.HasPrefix(e.Request.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		found = append(found, formSecrets(string(e.RequestBody))...)
	}
	if location, err := url.Parse(e.Header.Get("Location")); err == nil {
		found = append(found, formSecrets(location.RawQuery)...)
	}
	for _, line := range e.Header.Values("Set-Cookie") {
		if cookie, err := http.ParseSetCookie(line); err == nil && cookie.Value != "" {
			found = append(found, cookie.Value)
		}
	}
	if strings.HasPrefix(e.Header.Get("Content-Type"), "application/jwt") {
		found = append(found, string(e.Body))
	}
	var value any
	if json.Unmarshal(e.Body, &value) == nil {
		found = append(found, jsonSecrets(value)...)
	}
	return found
}

func formSecrets(encoded string) []string {
	var found []string
	values, _ := url.ParseQuery(encoded) // of what can be parsed
	for name, all := range values {
		// The id of an authorization request is not a credential: it is
		// worth nothing without the browser's cookie.
		if slices.Contains(secretFields, name) && name != "request" {
			found = append(found, all...)
		}
	}
	return found
}

func jsonSecrets(value any) []string {
	var found []string
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			if secret, ok := member.(string); ok && slices.Contains(secretFields, name) {
				found = append(found, secret)
			} else {
				found = append(found, jsonSecrets(member)...)
			}
		}
	case []any:
		for _, member := range v {
			found = append(found, jsonSecrets(member)...)
		}
	}
	return found
}
