// Package storetest is the suite that every store of orders passes, whatever
// keeps the data. Store is all that the API needs of one.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/stocksapi/store"
)

// Store keeps orders.
type Store interface {
	Place(ctx context.Context, once string, execute func() (store.Order, error)) (o store.Order, isNew bool, err error)
	Order(ctx context.Context, userID, id string) (store.Order, error)
	Orders(ctx context.Context, userID, before string, limit int) ([]store.Order, error)
}

// Run tests the stores that open returns, each of them new. Of a store that
// keeps data, reopen returns another with the same data.
func Run(t *testing.T, open func(*testing.T) (s Store, reopen func() Store)) {
	tests := map[string]func(*testing.T, Store){
		"an order comes back as it was":     testKept,
		"one order a name":                  testOnce,
		"one order a name, all at once":     testOnceAtOnce,
		"without a name each is new":        testRepeated,
		"what fails is not kept":            testFailed,
		"orders are their user's alone":     testOwners,
		"the newest first, page by page":    testPages,
		"a caller who gave up gets nothing": testCancelled,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, _ := open(t)
			test(t, s)
		})
	}
	t.Run("a restart loses nothing", func(t *testing.T) {
		s, reopen := open(t)
		placed := place(t, s, "once", order("1", "user"))
		again := reopen()
		got, err := again.Order(t.Context(), "user", "1")
		if diff := cmp.Diff(placed, got); diff != "" || err != nil {
			t.Errorf("%v %s", err, diff)
		}
		if got, isNew, err := again.Place(t.Context(), "once", unexpected(t)); isNew || got.ID != "1" || err != nil {
			t.Errorf("placed again: %v, %v, %v", got, isNew, err)
		}
	})
}

func order(id, user string) store.Order {
	return store.Order{
		ID: id, UserID: user, ClientID: "client", GrantID: "grant", Approval: "approval", Symbol: "ALDP", Side: "buy", Quantity: 3,
		LimitPrice: "400.00", ExecutedPrice: "399.99", Currency: "USD", CreatedAt: time.UnixMilli(1785335420123).UTC(),
	}
}

// place stores an order that has to be new.
func place(t *testing.T, s Store, once string, o store.Order) store.Order {
	t.Helper()
	placed, isNew, err := s.Place(t.Context(), once, func() (store.Order, error) { return o, nil })
	if err != nil || !isNew {
		t.Fatalf("place %s: new: %v, %v", o.ID, isNew, err)
	}
	return placed
}

// unexpected is for orders that must not be executed.
func unexpected(t *testing.T) func() (store.Order, error) {
	return func() (store.Order, error) {
		t.Error("executed a second time")
		return order("unexpected", "user"), nil
	}
}

func testKept(t *testing.T, s Store) {
	want := order("1", "user")
	want.Once = "once"
	placed := place(t, s, "once", order("1", "user"))
	got, err := s.Order(t.Context(), "user", "1")
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]store.Order{"placed": placed, "read": got} {
		if diff := cmp.Diff(want, o); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func testOnce(t *testing.T, s Store) {
	first := place(t, s, "once", order("1", "user"))
	second, isNew, err := s.Place(t.Context(), "once", unexpected(t))
	if diff := cmp.Diff(first, second); diff != "" || isNew || err != nil {
		t.Errorf("new: %v, %v, %s", isNew, err, diff)
	}
	place(t, s, "Once", order("2", "user")) // another name
}

func testOnceAtOnce(t *testing.T, s Store) { Once(t, s) }

// Once places an order twenty times at once, through stores with the same data.
func Once(t *testing.T, stores ...Store) {
	var executed, created atomic.Int64
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			o, isNew, err := stores[i%len(stores)].Place(t.Context(), "once", func() (store.Order, error) {
				executed.Add(1)
				return order(fmt.Sprint(i), "user"), nil
			})
			if isNew {
				created.Add(1)
			}
			if err != nil || o.ID == "" {
				t.Errorf("%v %v", o, err)
			}
		})
	}
	all.Wait()
	list, err := stores[0].Orders(t.Context(), "user", "", 10)
	if executed.Load() != 1 || created.Load() != 1 || len(list) != 1 || err != nil {
		t.Errorf("executed %d, created %d, kept %d, %v", executed.Load(), created.Load(), len(list), err)
	}
}

func testRepeated(t *testing.T, s Store) {
	place(t, s, "", order("1", "user"))
	place(t, s, "", order("2", "user"))
}

func testFailed(t *testing.T, s Store) {
	broken := errors.New("too expensive")
	if _, isNew, err := s.Place(t.Context(), "once", func() (store.Order, error) { return store.Order{}, broken }); !errors.Is(err, broken) || isNew {
		t.Errorf("got %v, want the error itself", err)
	}
	place(t, s, "once", order("1", "user")) // the name is free
	if _, _, err := s.Place(t.Context(), "", func() (store.Order, error) { return order("1", "user"), nil }); err == nil {
		t.Error("two orders with one id")
	}
	if list, err := s.Orders(t.Context(), "user", "", 10); len(list) != 1 || err != nil {
		t.Errorf("%v %v", list, err)
	}
}

func testOwners(t *testing.T, s Store) {
	place(t, s, "", order("1", "user"))
	for _, id := range []string{"1", "2", ""} {
		if _, err := s.Order(t.Context(), "other", id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("order %q: %v", id, err)
		}
	}
	if list, err := s.Orders(t.Context(), "other", "", 10); len(list) != 0 || err != nil {
		t.Errorf("%v %v", list, err)
	}
	if _, err := s.Orders(t.Context(), "other", "1", 10); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("before another's order: %v", err)
	}
}

func testPages(t *testing.T, s Store) {
	for i := range 7 {
		place(t, s, "", order(fmt.Sprint(i), "user")) // all at the same time
		place(t, s, "", order(fmt.Sprint("other ", i), "other"))
	}
	var got []string
	before := ""
	for {
		page, err := s.Orders(t.Context(), "user", before, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, o := range page {
			got = append(got, o.ID)
		}
		before = page[len(page)-1].ID
		place(t, s, "", order("new "+before, "user")) // does not move the pages
	}
	if diff := cmp.Diff([]string{"6", "5", "4", "3", "2", "1", "0"}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := s.Orders(t.Context(), "user", "unknown", 3); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("before an unknown order: %v", err)
	}
}

func testCancelled(t *testing.T, s Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Place(ctx, "once", unexpected(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
