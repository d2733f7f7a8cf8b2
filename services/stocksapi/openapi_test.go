package stocksapi

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonschema-go/jsonschema"

	"demo.example/services/internal/token"
)

// description is what the tests read of openapi.json.
type description struct {
	OpenAPI string
	Paths   map[string]map[string]json.RawMessage
	raw     map[string]any
	schemas string // of the components

	resolved map[string]*jsonschema.Resolved // by their text
}

// operation is a method of a path.
type operation struct {
	RequestBody struct {
		Content map[string]struct {
			Schema  json.RawMessage
			Example any
		}
	}
	Responses map[string]response
}

type response struct {
	Ref     string `json:"$ref"`
	Headers map[string]struct {
		Ref      string `json:"$ref"`
		Required bool
		Schema   json.RawMessage
	}
	Content map[string]struct{ Schema json.RawMessage }
}

func loadDescription(t *testing.T) *description {
	t.Helper()
	d := &description{resolved: map[string]*jsonschema.Resolved{}}
	for _, into := range []any{d, &d.raw} {
		if err := json.Unmarshal(openapiJSON, into); err != nil {
			t.Fatal(err)
		}
	}
	schemas, err := json.Marshal(d.raw["components"].(map[string]any)["schemas"])
	if err != nil {
		t.Fatal(err)
	}
	d.schemas = string(schemas)
	return d
}

// component decodes what a reference points to.
func (d *description) component(t *testing.T, ref string, into any) {
	t.Helper()
	var at any = d.raw
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		members, _ := at.(map[string]any)
		at = members[part]
	}
	if at == nil {
		t.Fatalf("openapi.json: %s leads nowhere", ref)
	}
	b, err := json.Marshal(at)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatalf("openapi.json: %s: %v", ref, err)
	}
}

// check reports what about value the schema forbids.
func (d *description) check(t *testing.T, what string, schema json.RawMessage, value any) {
	t.Helper()
	s, ok := d.resolved[string(schema)]
	if !ok {
		s = d.resolve(t, what, schema)
		d.resolved[string(schema)] = s
	}
	if err := s.Validate(value); err != nil {
		t.Errorf("%s is not as openapi.json says: %v", what, err)
	}
}

// resolve makes a schema usable. Those of OpenAPI 3.1 are JSON Schema 2020-12,
// but for where the named ones are kept.
func (d *description) resolve(t *testing.T, what string, schema json.RawMessage) *jsonschema.Resolved {
	t.Helper()
	text := `{"allOf":[` + string(schema) + `],"$defs":` + d.schemas + `}`
	s := new(jsonschema.Schema)
	if err := json.Unmarshal([]byte(strings.ReplaceAll(text, "#/components/schemas/", "#/$defs/")), s); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return resolved
}

// template returns the path of the document that a request's is one of.
func (d *description) template(path string) string {
	for template := range d.Paths {
		form := regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(template, `[^/]+`)
		if regexp.MustCompile("^" + form + "$").MatchString(path) {
			return template
		}
	}
	return ""
}

// checkAnswer holds an answer to the document: its status, its media type, the
// headers that have to be there, and its body.
func (d *description) checkAnswer(t *testing.T, r *http.Request, w *httptest.ResponseRecorder) {
	t.Helper()
	what := r.Method + " " + r.URL.Path + ": " + strconv.Itoa(w.Code)
	if r.URL.Path == "/healthz" {
		return // not public
	}
	var body any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Errorf("%s: not JSON: %s", what, w.Body)
		return
	}
	media, _, _ := mime.ParseMediaType(w.Header().Get("Content-Type"))
	raw, ok := d.Paths[d.template(r.URL.EscapedPath())][strings.ToLower(r.Method)]
	if !ok { // of the router
		if w.Code != http.StatusNotFound && w.Code != http.StatusMethodNotAllowed || media != "application/problem+json" {
			t.Errorf("%s: %s of an operation that is not described", what, media)
		}
		d.check(t, what, json.RawMessage(`{"$ref":"#/components/schemas/Problem"}`), body)
		return
	}
	var op operation
	if err := json.Unmarshal(raw, &op); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	described, ok := op.Responses[strconv.Itoa(w.Code)]
	if !ok {
		t.Errorf("%s is not described", what)
		return
	}
	if described.Ref != "" {
		d.component(t, described.Ref, &described)
	}
	for name, header := range described.Headers {
		if header.Ref != "" {
			d.component(t, header.Ref, &header)
		}
		if value := w.Header().Get(name); value != "" {
			d.check(t, what+" "+name, header.Schema, value)
		} else if header.Required {
			t.Errorf("%s: the header %s is missing", what, name)
		}
	}
	content, ok := described.Content[media]
	if !ok {
		t.Errorf("%s: %s is not described", what, media)
		return
	}
	d.check(t, what, content.Schema, body)
}

// TestDescriptionIsOfThisAPI: each route is described, and each operation that
// is described is routed.
func TestDescriptionIsOfThisAPI(t *testing.T) {
	d := loadDescription(t)
	routed, described := map[string]bool{}, map[string]bool{}
	for _, r := range newTestAPI(t).Routes.Routes() {
		if r.Path != "/healthz" { // for the deployment; the gateway does not let it through
			routed[r.Method+" "+regexp.MustCompile(`:([a-z]+)`).ReplaceAllString(r.Path, "{$1}")] = true
		}
	}
	for path, methods := range d.Paths {
		for method := range methods {
			if method != "parameters" {
				described[strings.ToUpper(method)+" "+path] = true
			}
		}
	}
	if diff := cmp.Diff(described, routed); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(d.OpenAPI, "3.1.") {
		t.Errorf("version %q", d.OpenAPI)
	}
}

// TestDescriptionIsWhole: every reference leads somewhere, and the example of
// an order is one.
func TestDescriptionIsWhole(t *testing.T) {
	d := loadDescription(t)
	for _, m := range regexp.MustCompile(`"\$ref": "([^"]+)"`).FindAllSubmatch(openapiJSON, -1) {
		d.component(t, string(m[1]), new(any))
	}
	var post operation
	if err := json.Unmarshal(d.Paths["/orders"]["post"], &post); err != nil {
		t.Fatal(err)
	}
	body := post.RequestBody.Content["application/json"]
	d.check(t, "the example of an order", body.Schema, body.Example)
	b, err := json.Marshal(body.Example)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseOrder(b); err != nil {
		t.Error(err)
	}
}

// TestDescriptionIsPublic: whoever wants to call the API may read how.
func TestDescriptionIsPublic(t *testing.T) {
	w := newTestAPI(t).do(http.MethodGet, "/openapi.json", "")
	if w.Code != http.StatusOK || w.Body.String() != string(openapiJSON) || strings.Contains(w.Header().Get("Cache-Control"), "private") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// TestDescribedOrders: what the description says an order may have is what the
// services take (token.MaxOrderQuantity and its neighbours).
func TestDescribedOrders(t *testing.T) {
	var schemas struct {
		Quantity struct{ Maximum int }
		Decimal  struct{ Pattern string }
	}
	if err := json.Unmarshal([]byte(loadDescription(t).schemas), &schemas); err != nil {
		t.Fatal(err)
	}
	if schemas.Quantity.Maximum != token.MaxOrderQuantity || schemas.Decimal.Pattern != token.LimitPriceForm() {
		t.Errorf("openapi.json: %+v, want %d and %s", schemas, token.MaxOrderQuantity, token.LimitPriceForm())
	}
}
