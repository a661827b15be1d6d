/* SPDX-License-Identifier: MIT */
#pragma once
/* What must hold of any profile before a site is known; every breach is recorded with the line it stands on. */

#include "daemon/core/profile.h"
#include "daemon/io/conf.h"

void profile_prove(const struct profile *profile, const struct conf_node *root, struct conf_errors *errors);
