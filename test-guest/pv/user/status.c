/* SPDX-License-Identifier: GPL-2.0-only */
/* Exits with its argument. */
#include "user.h"

u32 user_main(u32 argument)
{
	return argument;
}
