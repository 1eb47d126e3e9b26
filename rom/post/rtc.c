/* SPDX-License-Identifier: GPL-2.0-only */
/* The time of day, to the second, from the RTC in the CMOS [MC146818]. */
#include "rom.h"

#define RTC_SECONDS 0x00
#define RTC_MINUTES 0x02
#define RTC_HOURS 0x04
#define RTC_DAY 0x07
#define RTC_MONTH 0x08
#define RTC_YEAR 0x09
#define RTC_STATUS_A 0x0a
#define RTC_STATUS_A_UPDATING 0x80
#define RTC_STATUS_B 0x0b
#define RTC_STATUS_B_24H 0x02
#define RTC_STATUS_B_BINARY 0x04
#define RTC_HOURS_PM 0x80
#define RTC_STATUS_D 0x0d
#define RTC_CENTURY 0x32
#define RTC_POLLS 1000 /* an update takes 2 ms at most, a read some 1 us */

struct rtc {
	u8 seconds, minutes, hours, day, month, year, century;
};

static u8 cmos(u8 index)
{
	outb(CMOS_INDEX, index | 0x80); /* NMI off meanwhile, as the BIOS does */
	return inb(CMOS_DATA);
}

static void rtc_read(struct rtc *rtc, u8 century)
{
	u32 polls;

	for (polls = 0; polls < RTC_POLLS; polls++)
		if (!(cmos(RTC_STATUS_A) & RTC_STATUS_A_UPDATING))
			break;
	rtc->seconds = cmos(RTC_SECONDS);
	rtc->minutes = cmos(RTC_MINUTES);
	rtc->hours = cmos(RTC_HOURS);
	rtc->day = cmos(RTC_DAY);
	rtc->month = cmos(RTC_MONTH);
	rtc->year = cmos(RTC_YEAR);
	rtc->century = cmos(century);
}

static u32 from_bcd(u32 value)
{
	return (value >> 4) * 10 + (value & 15);
}

/* Days from 1970-01-01 to a day of the Gregorian calendar. */
static u32 days(u32 year, u32 month, u32 day)
{
	u32 y = month > 2 ? year : year - 1; /* years begin in March */
	u32 m = month > 2 ? month - 3 : month + 9;

	return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

u64 rtc_nanoseconds(u8 century_index)
{
	struct rtc rtc, again;
	u32 polls, hours, year, century;
	u8 b;
	bool binary;

	if (!century_index)
		century_index = RTC_CENTURY;
	/* Twice the same: no update came between the registers. */
	for (polls = 0; polls < 4; polls++) {
		rtc_read(&rtc, century_index);
		rtc_read(&again, century_index);
		if (same(&rtc, &again, sizeof(rtc)))
			break;
	}
	b = cmos(RTC_STATUS_B);
	binary = b & RTC_STATUS_B_BINARY;
	cmos(RTC_STATUS_D); /* the index cannot be read back: leave a harmless one */

	hours = rtc.hours & (b & RTC_STATUS_B_24H ? 0xff : (u8)~RTC_HOURS_PM);
	if (!binary) {
		hours = from_bcd(hours);
		rtc.seconds = (u8)from_bcd(rtc.seconds);
		rtc.minutes = (u8)from_bcd(rtc.minutes);
		rtc.day = (u8)from_bcd(rtc.day);
		rtc.month = (u8)from_bcd(rtc.month);
		rtc.year = (u8)from_bcd(rtc.year);
	}
	if (!(b & RTC_STATUS_B_24H)) {
		hours %= 12;
		if (rtc.hours & RTC_HOURS_PM)
			hours += 12;
	}
	century = binary ? rtc.century : from_bcd(rtc.century);
	if (century < 19 || century > 21)
		century = rtc.year < 70 ? 20 : 19;
	year = century * 100 + rtc.year;
	if (year < 1970 || rtc.year > 99 || !rtc.month || rtc.month > 12 || !rtc.day ||
	    rtc.day > 31 || hours > 23 || rtc.minutes > 59 || rtc.seconds > 59)
		return 0;
	return (u64)(((days(year, rtc.month, rtc.day) * 24 + hours) * 60) + rtc.minutes) * 60 *
		       NANOSECONDS +
	       (u64)rtc.seconds * NANOSECONDS;
}
