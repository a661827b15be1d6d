/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What users and balancers see of a node: login, mail, dav, health. Worker threads.
 */

struct request;

void users_handle(struct request *request);
