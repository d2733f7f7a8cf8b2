package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"demo.example/e2e/agent"
	"demo.example/e2e/person"
)

// callAPI sends a request to the public API with an opaque token, and decodes
// the answer.
func callAPI(t *testing.T, method, path, token, body string, into any) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, demo.Origin("api")+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", "one-order-of-"+t.Name())
	}
	resp, err := demo.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(into); err != nil {
		t.Fatalf("%s %s: %d %s: %v", method, path, resp.StatusCode, b, err)
	}
	return resp
}

// TestOrderOfAWebClient: a person reads how the API is called, looks at prices
// and their past, and buys at the price that was shown.
func TestOrderOfAWebClient(t *testing.T) {
	var description struct{ Paths map[string]any }
	if resp := callAPI(t, http.MethodGet, "/openapi.json", "", "", &description); resp.StatusCode != http.StatusOK || description.Paths["/orders"] == nil {
		t.Errorf("the description: %d %v", resp.StatusCode, description)
	}

	flow := agent.NewFlow(demo.Deployment, webClient(t), demo.APIResource())
	flow.Scope = "stocks/read stocks/trade"
	token := tokens(t, flow, person.John).Text("access_token")

	var list struct {
		Stocks []struct {
			Symbol, Price, Currency string
			AsOf                    time.Time `json:"as_of"`
			Delayed                 bool
		}
		NextCursor string `json:"next_cursor"`
	}
	callAPI(t, http.MethodGet, "/stocks?sort=-price&limit=1", token, "", &list)
	if len(list.Stocks) != 1 || list.NextCursor == "" || list.Stocks[0].Delayed || time.Since(list.Stocks[0].AsOf) > 3*time.Minute {
		t.Fatalf("the most expensive stock: %+v", list)
	}
	stock := list.Stocks[0]
	var history struct {
		Closes []struct{ Date, Close string }
	}
	callAPI(t, http.MethodGet, "/stocks/"+stock.Symbol+"/history", token, "", &history)
	if len(history.Closes) < 255 {
		t.Errorf("%d closes in a year", len(history.Closes))
	}

	whole, _, _ := strings.Cut(stock.Price, ".")
	order := `{"symbol":"` + stock.Symbol + `","side":"buy","quantity":2,"limit_price":"` + whole + `0","currency":"` + stock.Currency + `"}`
	type placed struct{ ID, Status, Approval string }
	var first, again placed
	if resp := callAPI(t, http.MethodPost, "/orders", token, order, &first); resp.StatusCode != http.StatusCreated || first.Status != "executed" {
		t.Fatalf("the order: %d %+v", resp.StatusCode, first)
	}
	if resp := callAPI(t, http.MethodPost, "/orders", token, order, &again); resp.StatusCode != http.StatusOK || again != first {
		t.Errorf("the same order again: %d %+v", resp.StatusCode, again)
	}
	var own struct{ Orders []placed }
	callAPI(t, http.MethodGet, "/orders?limit=1", token, "", &own)
	if len(own.Orders) != 1 || own.Orders[0] != first {
		t.Errorf("own orders: %+v, want %+v first", own.Orders, first)
	}

	// Without the scope the challenge names what to ask for.
	var problem struct{ Title string }
	resp := callAPI(t, http.MethodPost, "/orders", apiToken(t, person.John), order, &problem)
	if got := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != http.StatusForbidden || !strings.Contains(got, `scope="stocks/read stocks/trade"`) {
		t.Errorf("without the scope: %d %q", resp.StatusCode, got)
	}
}
