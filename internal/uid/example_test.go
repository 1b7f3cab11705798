package uid_test

import (
	"fmt"

	"archiverd/internal/uid"
)

// The UIDs of a server and of an archive, and what is missing in each.
func ExampleSet() {
	server, err := uid.Parse("1:5,9,12:20")
	if err != nil {
		fmt.Println(err)
		return
	}
	archived := uid.Of(1, 2, 3, 7)
	archived.AddRange(12, 14)

	fmt.Println("to fetch:", server.Subtract(archived))
	fmt.Println("gone:", archived.Subtract(server))
	fmt.Println("in both:", server.Intersect(archived))
	fmt.Println("in either:", server.Union(archived))
	// Output:
	// to fetch: 4:5,9,15:20
	// gone: 7
	// in both: 1:3,12:14
	// in either: 1:5,7,9,12:20
}

// A FETCH command names a bounded number of messages.
func ExampleSet_Split() {
	rest, err := uid.Parse("3,10:14,20")
	for err == nil && !rest.Empty() {
		var head uid.Set
		head, rest = rest.Split(3)
		fmt.Println(head.Len(), head)
	}
	// Output:
	// 3 3,10:11
	// 3 12:14
	// 1 20
}

// The set of all UIDs takes no more memory than the set of one.
func ExampleSet_Ranges() {
	all, _ := uid.Parse("7,1:4294967295")
	for r := range all.Ranges() {
		fmt.Println(r.First, r.Last, all.Len())
	}
	// Output:
	// 1 4294967295 4294967295
}
