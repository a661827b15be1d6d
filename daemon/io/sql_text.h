/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Where the `?` of a statement are. Pure; sql_placeholders() of sql.h is here too.
 */

/* The first `?` outside quotes, backticks and comments, or the end of the text. Go on from the character behind it. */
const char *sql_text_placeholder(const char *statement);
