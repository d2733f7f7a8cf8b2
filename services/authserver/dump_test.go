package authserver

import (
	"os"
	"strings"
)

// dump returns all bytes that the database has written, its log included.
func (h *harness) dump() string {
	h.Helper()
	var b strings.Builder
	for _, suffix := range []string{"", "-wal"} {
		raw, err := os.ReadFile(h.cfg.DatabaseFile + suffix)
		if err != nil && !os.IsNotExist(err) {
			h.Fatal(err)
		}
		b.Write(raw)
	}
	if b.Len() == 0 {
		h.Fatal("the database is empty")
	}
	return b.String()
}
