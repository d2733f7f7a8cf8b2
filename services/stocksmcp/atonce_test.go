package stocksmcp

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"demo.example/services/internal/httpserver"
)

// worstCall is a call that is let in and takes as much memory as one may:
// tokens of the kind that costs most, an object with one member, which becomes
// a map, and a text that fills the rest of body bytes.
func worstCall(body, tokens int) string {
	const deep = 50
	object := strings.Repeat(`{"a":`, deep) + `1` + strings.Repeat(`}`, deep)
	const own = 40 // tokens of the call itself
	objects := "[" + strings.TrimSuffix(strings.Repeat(object+",", (tokens-own)/(3*deep+1)), ",") + "]"
	call := strings.Replace(callBody, `"_meta":{`, `"_meta":{"objects":`+objects+`,"text":"",`, 1)
	return strings.Replace(call, `"text":""`, `"text":"`+strings.Repeat("x", body-len(call))+`"`, 1)
}

// TestMessagesAtOnce: one message more than may be handled at a time is told to
// come back, and has its turn when another is over.
func TestMessagesAtOnce(t *testing.T) {
	c := newChain(t)
	headers := modern(map[string]string{
		"Authorization": "Bearer " + c.token(nil), "Expect": "100-continue", "Content-Length": strconv.Itoa(len(callBody)),
	})
	var begun net.Conn
	var answers *bufio.Reader
	for range messagesAtOnce { // of each the server waits for the body
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", parseURL(t, c.URL).Host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var head bytes.Buffer
		head.WriteString("POST / HTTP/1.1\r\nHost: mcp\r\n")
		_ = headers.Write(&head)
		head.WriteString("\r\n")
		if _, err := conn.Write(head.Bytes()); err != nil {
			t.Fatal(err)
		}
		begun, answers = conn, bufio.NewReader(conn)
		if resp, err := http.ReadResponse(answers, nil); err != nil || resp.StatusCode != http.StatusContinue {
			t.Fatalf("%+v, %v", resp, err)
		}
	}
	resp, answer := c.request(t, http.MethodPost, callBody, modern(nil))
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("one more: %d %s", resp.StatusCode, answer)
	}
	if _, err := begun.Write([]byte(callBody)); err != nil {
		t.Fatal(err)
	}
	last, err := http.ReadResponse(answers, nil)
	if err != nil || last.StatusCode != http.StatusOK {
		t.Fatalf("%+v, %v", last, err)
	}
	defer last.Body.Close()
	_, _ = io.Copy(io.Discard, last.Body)
	if resp, answer := c.request(t, http.MethodPost, callBody, modern(nil)); resp.StatusCode != http.StatusOK {
		t.Errorf("after another: %d %s", resp.StatusCode, answer)
	}
}

// TestMemoryOfMessages: whatever a client sends, and however much of it, the
// service holds less than its container has.
func TestMemoryOfMessages(t *testing.T) {
	const most = 66 << 20 // two thirds of GOMEMLIMIT; the fakes and the clients are in it
	const sent = 16
	c := newChain(t)
	c.request(t, http.MethodPost, callBody, modern(nil)) // all that is made once is there
	c.APIDelay = make(chan struct{})
	before, arrived := inUse(), len(c.sent("GET /stocks"))
	body, headers := worstCall(httpserver.MaxMessage, maxTokens), modern(map[string]string{"Authorization": "Bearer " + c.token(nil)})
	var calls sync.WaitGroup
	for range sent {
		calls.Go(func() {
			if resp, answer := c.request(t, http.MethodPost, body, headers); resp.StatusCode != http.StatusOK {
				t.Errorf("%d %s", resp.StatusCode, answer)
			}
		})
	}
	for deadline := time.Now().Add(callTimeout); len(c.sent("GET /stocks")) < arrived+sent; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the calls did not arrive")
		}
	}
	each := (inUse() - before) / sent
	close(c.APIDelay)
	calls.Wait()
	if t.Logf("%d kB each", each>>10); each*messagesAtOnce > most {
		t.Errorf("%d messages hold %d bytes", messagesAtOnce, each*messagesAtOnce)
	}
}

// inUse is the memory that no collection of garbage gives back.
func inUse() int {
	runtime.GC()
	runtime.GC() // for what the first found to have a finalizer, and pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// TestLargeMessages: what is larger than any call has use for is not read, or
// not to its end.
func TestLargeMessages(t *testing.T) {
	c := newChain(t)
	padded := func(params string) string {
		return strings.Replace(callBody, `"arguments":{}`, `"arguments":{}`+params, 1)
	}
	numbers := func(n int) string { return `,"x":[` + strings.TrimSuffix(strings.Repeat("1,", n), ",") + `]` }
	tests := map[string]struct {
		body   string
		status int
	}{
		"as large as may be":  {worstCall(httpserver.MaxMessage, maxTokens), http.StatusOK},
		"a byte more":         {worstCall(httpserver.MaxMessage+1, maxTokens), http.StatusRequestEntityTooLarge},
		"many numbers":        {padded(numbers(maxTokens - 50)), http.StatusOK},
		"too many numbers":    {padded(numbers(maxTokens)), http.StatusBadRequest},
		"too many objects":    {padded(`,"x":[` + strings.Repeat(`{},`, maxTokens/2) + `1]`), http.StatusBadRequest},
		"fifty symbols":       {strings.Replace(callBody, `{}`, `{"symbols":["ALDP"`+strings.Repeat(`,"ALDP"`, 49)+`]}`, 1), http.StatusOK},
		"too many at the top": {strings.Replace(callBody, `"id":7`, `"id":7`+numbers(maxTokens), 1), http.StatusBadRequest},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if resp, answer := c.request(t, http.MethodPost, tt.body, modern(nil)); resp.StatusCode != tt.status {
				t.Errorf("%d %s", resp.StatusCode, answer)
			}
		})
	}
}
