/* SPDX-License-Identifier: MIT */
/* A fuzz target without a fuzzer: every file that is named, and every beginning of it, once. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_MAX = 1 << 20, CUTS = 64 };

int main(int argc, char **argv)
{
	static uint8_t data[FILE_MAX];
	for (int i = 1; i < argc; i++) {
		FILE *file = fopen(argv[i], "re");
		if (file == NULL) {
			perror(argv[i]);
			return EXIT_FAILURE;
		}
		size_t size = fread(data, 1, sizeof(data), file);
		(void)fclose(file);
		(void)LLVMFuzzerTestOneInput(data, size);
		for (size_t cut = 0; cut < CUTS; cut++)
			(void)LLVMFuzzerTestOneInput(data, size * cut / CUTS);
	}
	return argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
