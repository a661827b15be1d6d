/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The node's Hazelcast cluster: who is in it, and telling the others. Reaches nothing outside the group. Blocking.
 */

struct json_object;

/* Becomes a member and takes over the cluster's sessions. */
void cluster_join(void);
void cluster_leave(void);
/* Members, this node included. */
int cluster_count(void);
/* Calls /rmi/NAME on every other member; one that does not answer in time misses it. */
void cluster_tell(const char *name, struct json_object *request);

/* Forgets these contexts here and in the whole cluster, and ends their sessions when asked to. */
void cluster_forget_contexts(struct json_object *cids, int with_sessions);
void cluster_forget_schema(int pool, const char *schema);
/* Begins a session known to the whole cluster. */
void cluster_add_session(const char *id, int cid);
