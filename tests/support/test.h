/* test.h -- what cmocka wants included before it, and the repository's models for tests that need them. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
