package admin

import (
	"os"
	"regexp"
	"testing"

	service "demo.example/services/internal/audit"
)

// TestKindsAreNamed: the filter offers every kind of event that there is, in
// words.
func TestKindsAreNamed(t *testing.T) {
	code, err := os.ReadFile("../../internal/audit/audit.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`Kind += "([^"]+)"`).FindAllSubmatch(code, -1)
	for _, m := range found {
		if kind := service.Kind(m[1]); nameOf(kind) == string(kind) {
			t.Errorf("%s has no name", kind)
		}
	}
	if len(found) != len(kinds) {
		t.Errorf("%d kinds are named, there are %d", len(kinds), len(found))
	}
}

// TestFacts: what strangers chose stays text, in an element, in an attribute
// and in an address.
func TestFacts(t *testing.T) {
	l := line{
		Who: "<u>", User: `u"&`, By: Description{Name: "<c>", FullName: `<c>"`, Cut: true}, Client: "https://c/?a&b#c",
		Grant: "<g>", Request: "r r", details: []fact{{Name: "<n>", Value: `<v>'"`}, {Name: "empty"}},
	}
	const details = `<span><span class="hint">&lt;n&gt;</span> <bdi>&lt;v&gt;&#39;&#34;</bdi></span>` + "\n"
	want := `<span><span class="hint">user</span> <a href="/admin/audit?user=u%22%26"><bdi>&lt;u&gt;</bdi></a></span>
<span><span class="hint">client</span> <a href="/admin/audit?client=https%3A%2F%2Fc%2F%3Fa%26b%23c"><bdi title="&lt;c&gt;&#34;">&lt;c&gt;</bdi></a></span>
` + details + `<span><a href="/admin/grants/grant?grant=%3Cg%3E"><bdi>access</bdi></a></span>
<span><a href="/admin/audit/story?request=r+r"><bdi>whole story</bdi></a></span>
`
	if got := l.facts(); string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	l.Own, l.Brief = true, true
	if got := l.facts(); string(got) != details {
		t.Errorf("%s\nwant %s", got, details)
	}
}
