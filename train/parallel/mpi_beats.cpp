// The ring of beats.
#include "train/parallel/mpi_beats.h"

#include <fmt/format.h>

#include <utility>

namespace vitsnna::train {
namespace {

std::chrono::duration<double> seconds(double count) { return std::chrono::duration<double>(count); }

}  // namespace

MpiBeats::MpiBeats(MPI_Comm world, const ParallelOptions& options, Alarm alarm)
    : options_(options), alarm_(std::move(alarm)) {
  MPI_Comm_dup(world, &comm_);
  int rank = 0, size = 0;
  MPI_Comm_rank(comm_, &rank);
  MPI_Comm_size(comm_, &size);
  left_ = (rank + size - 1) % size;
  right_ = (rank + 1) % size;
  ticked_ = heard_ = Clock::now();
  MPI_Irecv(&incoming_, 1, MPI_LONG, left_, 0, comm_, &receive_);
}

void MpiBeats::receive(Clock::time_point now) {
  while (!left_gone_) {
    int arrived = 0;
    MPI_Test(&receive_, &arrived, MPI_STATUS_IGNORE);
    if (!arrived) return;
    heard_ = now;
    if (incoming_ == kGoodbye) {
      left_gone_ = true;
      return;
    }
    if (incoming_ != left_exchanges_) behind_ = false;
    left_exchanges_ = incoming_;
    MPI_Irecv(&incoming_, 1, MPI_LONG, left_, 0, comm_, &receive_);
  }
}

void MpiBeats::send(long value, Clock::time_point now) {
  int free = 1;
  if (send_ != MPI_REQUEST_NULL) MPI_Test(&send_, &free, MPI_STATUS_IGNORE);
  if (!free) return;  // a neighbour that takes nothing: its own left neighbour's alarm
  sent_ = value;
  MPI_Isend(&sent_, 1, MPI_LONG, right_, 0, comm_, &send_);
  beaten_ = now;
  if (value == kGoodbye) goodbye_sent_ = true;
}

void MpiBeats::judge(long exchanges, Clock::time_point now) {
  if (left_gone_) return;
  if (now - heard_ > seconds(options_.silence_seconds)) {
    alarm_(left_, fmt::format("no sign of life for {:.0f} s", options_.silence_seconds));
  }
  if (left_exchanges_ >= exchanges) behind_ = false;
  if (left_exchanges_ >= exchanges) return;
  if (!behind_) behind_since_ = now;
  behind_ = true;
  if (now - behind_since_ > seconds(options_.late_seconds)) {
    alarm_(left_, fmt::format("lives but has come to {} exchanges between ranks, its neighbour to "
                              "{}, and to no other for {:.0f} s",
                              left_exchanges_, exchanges, options_.late_seconds));
  }
}

void MpiBeats::tick(long exchanges) {
  const Clock::time_point now = Clock::now();
  // This process itself was stopped for a while: what the neighbour sent has yet to be read.
  if (now - ticked_ > seconds(options_.silence_seconds / 4.)) {
    heard_ = now;
    behind_since_ += now - ticked_;
  }
  ticked_ = now;
  receive(now);
  if (now - beaten_ > seconds(options_.beat_seconds)) send(exchanges, now);
  judge(exchanges, now);
}

bool MpiBeats::finish() {
  const Clock::time_point now = Clock::now();
  receive(now);
  if (!goodbye_sent_) send(kGoodbye, now);
  if (!left_gone_ && now - heard_ > seconds(options_.silence_seconds)) {
    alarm_(left_, "no sign of life at the end of the job");
  }
  if (!goodbye_sent_ || !left_gone_) return false;
  int gone = 0;
  MPI_Test(&send_, &gone, MPI_STATUS_IGNORE);
  if (gone) MPI_Comm_free(&comm_);
  return gone != 0;
}

}  // namespace vitsnna::train
