/* SPDX-License-Identifier: MIT */
#include "options.h"
#include "process.h"
#include "upgd.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	struct options options;
	struct fail fail = { .text = "" };
	process_begin();
	if (options_parse(&options, argc, argv, &fail) != 0) {
		(void)fprintf(stderr, "upgd: %s\n", fail.text);
		return 2;
	}
	if (options.help)
		return options_help();
	if (options.version)
		return options_version();
	if (options.doc != NULL)
		return options_print_doc(options.doc);
	if (options.offline != NULL)
		return options_offline(&options);
	if (options.profile != NULL)
		return options_profile_check(options.profile);
	if (options.test)
		return options_test(&options);

	log_setup(options.log);
	struct upgd *upgd = upgd_new(options.config, &fail);
	if (upgd == NULL) {
		log_say(LOG_AT_ERR, "cannot start: %s", fail.text);
		return EXIT_FAILURE;
	}
	int status = upgd_run(upgd);
	upgd_free(upgd);
	return status;
}
