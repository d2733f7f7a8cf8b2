package problem_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/problem"
)

func TestWrite(t *testing.T) {
	tests := map[string]struct {
		details    *problem.Details
		requestID  string
		body       string
		retryAfter []string
	}{
		"complete": {&problem.Details{Status: 403, Title: "Forbidden", Detail: "Ask for <stocks/read>.", RetryAfter: 90 * time.Second}, "id-of-request",
			`{"type":"about:blank","title":"Forbidden","status":403,"detail":"Ask for \u003cstocks/read\u003e.","request_id":"id-of-request"}`, []string{"90"}},
		"the least": {&problem.Details{Status: 404, Title: "Not found"}, "", `{"type":"about:blank","title":"Not found","status":404}`, nil},
		"outage": {problem.Unavailable("The exchange"), "",
			`{"type":"about:blank","title":"Temporarily unavailable","status":503,"detail":"The exchange cannot be reached right now. Your sign-in is still good: try again in a few seconds."}`, []string{"2"}},
	}
	for name, tt := range tests {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		if tt.requestID != "" {
			r = r.WithContext(httpserver.WithRequestID(r.Context(), tt.requestID))
		}
		problem.Write(w, r, tt.details)
		want := http.Header{"Content-Type": {"application/problem+json"}, "Cache-Control": {"no-store"}}
		if tt.retryAfter != nil {
			want["Retry-After"] = tt.retryAfter
		}
		if diff := cmp.Diff(want, w.Header()); diff != "" || w.Code != tt.details.Status {
			t.Errorf("%s: %d, header (-want +got):\n%s", name, w.Code, diff)
		}
		if diff := cmp.Diff(tt.body+"\n", w.Body.String()); diff != "" {
			t.Errorf("%s: body (-want +got):\n%s", name, diff)
		}
	}
}

func TestMembers(t *testing.T) {
	w := httptest.NewRecorder()
	problem.Write(w, httptest.NewRequest(http.MethodGet, "/", nil), &problem.Details{
		Status: http.StatusConflict, Title: "Taken", Members: map[string]string{"by": `a "friend"`},
	})
	const want = `{"type":"about:blank","title":"Taken","status":409,"by":"a \"friend\""}` + "\n"
	if got := w.Body.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
