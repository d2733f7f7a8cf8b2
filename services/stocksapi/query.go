package stocksapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"demo.example/services/internal/problem"
)

// query is the parameters of a request: each known, there once, and not empty.
type query map[string]string

// readQuery refuses what an endpoint does not take rather than ignoring it:
// whoever sends ?region= believes that it chooses something.
func readQuery(r *http.Request, known ...string) (query, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("The query cannot be read: escape what is not a letter or a digit.")
	}
	q := query{}
	for name, v := range values {
		switch {
		case !slices.Contains(known, name) && len(known) == 0:
			return nil, badRequest("This endpoint takes no query parameters. The region is that of the signed-in user.")
		case !slices.Contains(known, name):
			return nil, badRequest("There is a parameter that this endpoint does not know. It takes %s. The region is that of the signed-in user.", strings.Join(known, ", "))
		case len(v) > 1:
			return nil, badRequest("The parameter %s is there twice.", name)
		case v[0] == "":
			return nil, badRequest("The parameter %s is empty; leave it out.", name)
		}
		q[name] = v[0]
	}
	return q, nil
}

// limit returns how many entries to answer with.
func (q query) limit() (int, error) {
	raw, ok := q["limit"]
	if !ok {
		return maxLimit, nil
	}
	n, err := strconv.Atoi(raw)
	if err != nil || n < 1 || n > maxLimit {
		return 0, badRequest("limit has to be a number from 1 to %d.", maxLimit)
	}
	return n, nil
}

// maxLimit is above what a region has, so that one page shows it all.
const maxLimit = 100

// badRequest is a request that would fail again (400).
func badRequest(format string, args ...any) *problem.Details {
	return &problem.Details{Status: http.StatusBadRequest, Title: "Bad request", Detail: fmt.Sprintf(format, args...)}
}
