package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// checkSchedule returns an error unless cron accepts the schedule, and it is due at
// some time and not more often than every minute.
func checkSchedule(spec string) error {
	example := "write five fields (minute hour day month weekday), '@daily' or '@every 30m'"
	if strings.HasPrefix(spec, "TZ=") || strings.HasPrefix(spec, "CRON_TZ=") {
		// cron panics without this space.
		if !strings.Contains(spec, " ") {
			return fmt.Errorf("%q is a time zone without a schedule; e.g. 'CRON_TZ=Europe/Berlin 30 4 * * *'", spec)
		}
	}
	s, err := cron.ParseStandard(spec)
	if err != nil {
		return fmt.Errorf("%q is no schedule (%s); %s", spec, printableText(err.Error()), example)
	}
	switch s := s.(type) {
	case cron.ConstantDelaySchedule:
		if s.Delay < time.Minute {
			return fmt.Errorf("%q is too often: a run would begin while the last one still asks the server; write '@every 1m' or longer", spec)
		}
	case *cron.SpecSchedule:
		// cron parses a field of commas as empty; Next would then try every minute of years.
		if s.Minute == 0 || s.Hour == 0 || s.Dom == 0 || s.Month == 0 || s.Dow == 0 {
			return fmt.Errorf("%q has an empty field; %s", spec, example)
		}
		if s.Next(time.Unix(0, 0)).IsZero() {
			return errors.New("is never: there is no such day")
		}
	}
	return nil
}
