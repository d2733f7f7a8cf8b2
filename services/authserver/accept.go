package authserver

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/grants"
	"demo.example/services/internal/oauth"
)

// introspectionTypes are what the introspection endpoint can answer with.
var introspectionTypes = []string{echo.MIMEApplicationJSON, oauth.MediaTypeJWT, grants.MediaTypeIntrospection}

// negotiate returns the offered media type that the client's Accept header
// names with the highest weight, the first of equals (RFC 9110 §12.5.1). What
// the header does not name in full, or does not name at all, is answered with
// the first that is offered: a wildcard must not turn a JSON answer into one
// that is a credential.
func negotiate(accept []string, offered []string) string {
	best, weight := offered[0], 0.0
	for item := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, params, err := mime.ParseMediaType(item)
		if err != nil {
			continue
		}
		if media == "*/*" || media == "application/*" {
			media = offered[0]
		}
		q := quality(params)
		for _, o := range offered {
			if media == o && q > weight {
				best, weight = o, q
			}
		}
	}
	return best
}

// quality is the weight of a media range; one that cannot be read weighs
// nothing.
func quality(params map[string]string) float64 {
	raw, ok := params["q"]
	if !ok {
		return 1
	}
	q, err := strconv.ParseFloat(raw, 64)
	if err != nil || q > 1 {
		return 0
	}
	return q
}

// introspectionType is what a caller of the introspection endpoint wants.
func introspectionType(h http.Header) string {
	return negotiate(h.Values("Accept"), introspectionTypes)
}
