package authserver

import (
	"database/sql"
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

// count asks the database itself for a number.
func (h *harness) count(query string, args ...any) (n int) {
	h.Helper()
	h.scan(&n, query, args...)
	return n
}

// row asks the database itself for a text.
func (h *harness) row(query string, args ...any) (text string) {
	h.Helper()
	h.scan(&text, query, args...)
	return text
}

func (h *harness) scan(into any, query string, args ...any) {
	h.Helper()
	db, err := sql.Open("sqlite", h.cfg.DatabaseFile)
	if err != nil {
		h.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(h.Context(), query, args...).Scan(into); err != nil {
		h.Fatal(err)
	}
}
