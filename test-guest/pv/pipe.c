/* SPDX-License-Identifier: GPL-2.0-only */
/* Pipes, the only files there are. */
#include "pv.h"

#define PIPES 64
#define PIPE_SIZE 512u

static struct pipe {
	u32 ends[2]; /* files that read, that write */
	u32 in, out; /* bytes so far */
	struct queue readers, writers;
	u8 data[PIPE_SIZE];
} pipes[PIPES];

static bool file_make(struct pipe *pipe, bool writes, u32 *n)
{
	struct file *file = current()->file;

	for (*n = 0; *n < FILES; ++*n)
		if (!file[*n].pipe) {
			file[*n].pipe = pipe;
			file[*n].writes = writes;
			file_share(&file[*n]);
			return true;
		}
	return false;
}

bool pipe_make(u32 file[2])
{
	struct pipe *pipe;

	for (pipe = pipes; pipe < pipes + PIPES; pipe++)
		if (!pipe->ends[0] && !pipe->ends[1])
			break;
	if (pipe == pipes + PIPES || !file_make(pipe, false, &file[0]))
		return false;
	pipe->in = pipe->out = 0;
	if (file_make(pipe, true, &file[1]))
		return true;
	file_close(&current()->file[file[0]]);
	return false;
}

void file_share(struct file *file)
{
	if (file->pipe)
		file->pipe->ends[file->writes]++;
}

void file_close(struct file *file)
{
	struct pipe *pipe = file->pipe;

	if (!pipe)
		return;
	file->pipe = NULL;
	pipe->ends[file->writes]--;
	wake(&pipe->readers);
	wake(&pipe->writers);
}

/* At least a byte; 0: nobody will ever write. */
u32 file_read(struct file *file, u8 *to, u32 size)
{
	struct pipe *pipe = file->pipe;
	u32 n;

	while (pipe->in == pipe->out && pipe->ends[true] && size) {
		if (current()->signals)
			return E_SIGNAL;
		wait_on(&pipe->readers);
	}
	for (n = 0; n < size && pipe->out != pipe->in; n++)
		to[n] = pipe->data[pipe->out++ % PIPE_SIZE];
	wake(&pipe->writers);
	return n;
}

/* All of it, unless a signal comes. */
u32 file_write(struct file *file, const u8 *from, u32 size)
{
	struct pipe *pipe = file->pipe;
	u32 n;

	for (n = 0; n < size; n++) {
		while (pipe->in - pipe->out == PIPE_SIZE && pipe->ends[false]) {
			if (current()->signals)
				return n ? n : E_SIGNAL;
			wake(&pipe->readers);
			wait_on(&pipe->writers);
		}
		if (!pipe->ends[false]) {
			signal_send(current(), SIG_PIPE);
			return E_SIGNAL;
		}
		pipe->data[pipe->in++ % PIPE_SIZE] = from[n];
	}
	wake(&pipe->readers);
	return n;
}
