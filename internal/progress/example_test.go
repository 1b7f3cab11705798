package progress_test

import (
	"fmt"
	"time"

	"archiverd/internal/progress"
)

func ExampleEstimate() {
	bySpeed := progress.Estimate{Messages: 30_000, Octets: 2_700 << 20, Speed: 1 << 20, Takes: 45 * time.Minute}
	byLimit := progress.Estimate{Messages: 90_000, Octets: 7_500_000_000, Speed: 1 << 20, Daily: 2_500_000_000, Takes: 72 * time.Hour}
	fmt.Println(&bySpeed)
	fmt.Println(&byLimit)
	// Output:
	// about 45 minutes, at 1.0 MiB/s
	// about 3 days, at 2.5 GB a day
}
