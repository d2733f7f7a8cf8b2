package trail

import (
	"encoding/json"
	"slices"

	"demo.example/services/internal/audit"
)

// columns repeat of an event what is searched by.
const columns = "id, at, kind, decision, user, client, request, flow, grant_id"

// values returns what an event has in these columns.
func values(e audit.Event) []any {
	orNull := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	return []any{
		e.ID, e.Time.UnixMilli(), string(e.Kind), string(e.Decision),
		orNull(e.User), orNull(e.Client), orNull(e.Request), orNull(e.Flow), orNull(e.Grant),
	}
}

// repeats reports whether columns that were read say what the event does.
func repeats(found []any, event string) bool {
	var e audit.Event
	return json.Unmarshal([]byte(event), &e) == nil && slices.Equal(found, values(e))
}
